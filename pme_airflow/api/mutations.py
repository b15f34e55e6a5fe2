"""Mint and revoke several links in one request, and in smaller ones where the API refuses that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pme_airflow.api.batch_size import BatchSize
from pme_airflow.api.dialect import Dialect
from pme_airflow.api.documents import Document, aliases_of, mint_document, revoke_document
from pme_airflow.api.graph_endpoint import GraphEndpoint
from pme_airflow.api.judge import judge_mint, judge_revoke
from pme_airflow.api.messages import MintRequest
from pme_airflow.api.network import Network
from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, NotRevoked, RefusalKind, Revoked, RevokeVerdict
from pme_airflow.api.retry import Attempt
from pme_airflow.api.settings import ClientSettings
from pme_airflow.clock import Clock
from pme_airflow.errors import PMEError, PMEModelError, PMESharedTokenError
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["Mutations"]

_T = TypeVar("_T")
_Verdict = TypeVar("_Verdict")


class Mutations:
    """The two mutations, several in one request. Safe to share between threads.

    :param client_id: the application's id, which is part of each mutation.
    :param secret: its secret, likewise.
    :param graph: executes documents.
    :param network: knows the server's time and address.
    :param settings: how many mutations one request holds.
    :param clock: measures how long a request takes.
    """

    def __init__(
        self,
        client_id: str,
        secret: SecretStr,
        graph: GraphEndpoint,
        network: Network,
        settings: ClientSettings,
        clock: Clock,
    ) -> None:
        self.batch_size = BatchSize(settings.batch_size, settings.largest_batch)
        #: Whether several mutations in one request have not been refused.
        self.takes_batches = True
        self._client_id = client_id
        self._secret = secret
        self._graph = graph
        self._network = network
        self._clock = clock

    def mint(self, requests: Sequence[MintRequest]) -> list[MintVerdict]:
        """Mint links and tokens. See :meth:`.client.PMEClient.mint`."""
        if not self.takes_batches and len(requests) > 1:
            return self._mint_parts(requests, 1)
        named = not all(request.models for request in requests)
        begun = self._clock.monotonic()
        try:
            attempt = self._graph.mutate(partial(self._mint_document, requests), len(requests), named=named)
        except PMESharedTokenError as error:
            return [NotMade(error, resend=True)] * len(requests)
        refusal = attempt.refusal
        if refusal is None:
            by_alias = dict(zip(aliases_of(len(requests)), requests, strict=True))
            now = self._network.server_clock.now()
            verdicts = list(judge_mint(attempt.exchange, by_alias, now, self._network.host).values())
            self._note_executed(begun, len(verdicts), all(map(_is_final, verdicts)))
            return verdicts
        if refusal.kind is RefusalKind.SPLIT_BATCH:
            size = self._part_after_refusal(len(requests))
            verdicts = self._mint_parts(requests, size)
            if size == 1:
                self.takes_batches = any(isinstance(verdict, NotMade) for verdict in verdicts)
            return verdicts
        return [NotMade(refusal.error, not refusal.error.permanent, refusal.retry_after) for _ in requests]

    def _mint_document(self, requests: Sequence[MintRequest], dialect: Dialect) -> Document:
        return mint_document(requests, self._client_id, self._secret, dialect)

    def _mint_parts(self, requests: Sequence[MintRequest], size: int) -> list[MintVerdict]:
        return _in_parts(self.mint, requests, size, lambda error: NotMade(error, resend=False))

    def revoke(self, tokens: Sequence[AccessToken]) -> list[RevokeVerdict]:
        """Revoke tokens. See :meth:`.client.PMEClient.revoke`."""
        if not self.takes_batches and len(tokens) > 1:
            return self._revoke_parts(tokens, 1)
        begun = self._clock.monotonic()
        attempt = self.revoke_once(tokens)
        refusal = attempt.refusal
        if refusal is None:
            verdicts = list(judge_revoke(attempt.exchange, aliases_of(len(tokens))).values())
            self._note_executed(begun, len(verdicts), all(isinstance(v, Revoked) or v.denied for v in verdicts))
            return verdicts
        if refusal.kind is RefusalKind.SPLIT_BATCH:
            return self._revoke_parts(tokens, self._part_after_refusal(len(tokens)))
        denied = isinstance(refusal.error, PMEModelError)
        return [NotRevoked(str(refusal.error), denied, refusal.retry_after, denied) for _ in tokens]

    def revoke_once(self, tokens: Sequence[AccessToken]) -> Attempt:
        """Revoke tokens in one request, and return its response or refusal as it is."""
        return self._graph.mutate(partial(self._revoke_document, tokens), len(tokens))

    def _revoke_document(self, tokens: Sequence[AccessToken], dialect: Dialect) -> Document:
        return revoke_document(tokens, self._client_id, self._secret, dialect)

    def _revoke_parts(self, tokens: Sequence[AccessToken], size: int) -> list[RevokeVerdict]:
        return _in_parts(self.revoke, tokens, size, lambda error: NotRevoked(str(error), sent=False))

    def _note_executed(self, begun: float, count: int, is_complete: bool) -> None:
        """Learn how large a request may be from one that was not refused as a whole."""
        if is_complete:
            self.batch_size.accepted(count, self._clock.monotonic() - begun)
        else:
            self.batch_size.refused(count)

    def _part_after_refusal(self, count: int) -> int:
        """Return the size of the parts that a refused batch is sent in: one that was taken, or one."""
        self.batch_size.refused(count)
        return self.batch_size.taken if self.batch_size.taken < count else 1


def _in_parts(
    send: Callable[[Sequence[_T]], list[_Verdict]],
    items: Sequence[_T],
    size: int,
    not_sent: Callable[[PMEError], _Verdict],
) -> list[_Verdict]:
    """Send a batch in parts. A part that cannot be sent takes nothing from the verdicts of those before it.

    :param not_sent: the verdict on what is left.
    :raises PMEError: where the first part cannot be sent, so that none was.
    """
    verdicts: list[_Verdict] = []
    for start in range(0, len(items), size):
        try:
            verdicts += send(items[start : start + size])
        except PMEError as error:
            if not verdicts:
                raise
            return verdicts + [not_sent(error)] * (len(items) - start)
    return verdicts


def _is_final(verdict: MintVerdict) -> bool:
    """Return whether the API decided on a mint: neither its response was lost nor may it succeed later."""
    return isinstance(verdict, Made) or (isinstance(verdict, NotMade) and not verdict.resend)
