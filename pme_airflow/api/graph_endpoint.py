"""The graph endpoint: executing documents with an application token, and repeating what certainly had no effect."""

from __future__ import annotations

import json
from collections.abc import Callable

from pme_airflow.api.application_token import ApplicationToken, ApplicationTokenCache
from pme_airflow.api.documents import Document, MutationNames
from pme_airflow.api.graph_response import parse_graph_response
from pme_airflow.api.judge import refusal_of
from pme_airflow.api.network import Network
from pme_airflow.api.outcomes import HttpResponse, Refusal, RefusalKind
from pme_airflow.api.retry import Attempt, RetryPolicy
from pme_airflow.errors import PMEUnavailableError
from pme_airflow.secrets import SecretStr

__all__ = ["GraphEndpoint", "object_at"]

_GRAPH_PATH = "/api/models/graph"
_MAX_RENEWALS = 5


class GraphEndpoint:
    """Executes documents on the graph endpoint. Safe to share between threads.

    :param network: sends the requests.
    :param tokens: where application tokens come from.
    :param retries: repeats a request that certainly had no effect.
    """

    def __init__(self, network: Network, tokens: ApplicationTokenCache, retries: RetryPolicy) -> None:
        self._network = network
        self._tokens = tokens
        self._retries = retries
        self._names = MutationNames.EMBED_LINK
        self._names_confirmed = False

    def mutate(self, build: Callable[[MutationNames], Document], fields: int) -> Attempt:
        """Execute a mutation; repeat it only while it certainly had no effect, until the deadline.

        Where the server does not know the mutation under one pair of names, the other is tried once. The pair that it
        executed is remembered.

        :param build: makes the document with the given names.
        :param fields: how many aliases the document holds.
        :raises PMECredentialsError: where no application token can be had; likewise PMEUnreachableError,
            PMEUnavailableError and PMEProtocolError.
        """
        refused: set[MutationNames] = set()
        return self._run(lambda token: self._mutate_once(build, token, fields, refused))

    def query(self, document: Document, field: str) -> dict[str, object]:
        """Execute a query, which may be repeated whatever happened to it, and return the object of one field.

        :return: the object; empty where the API refused the field itself.
        :raises PMEError: where it cannot be had before the deadline.
        """
        last = self._retries.run(
            lambda: self.query_once(document),
            lambda attempt: attempt.refusal is None and object_at(attempt, field) is None,
        )
        if last.refusal is not None:
            raise last.refusal.error
        value = object_at(last, field)
        if value is None:
            raise PMEUnavailableError(f"The PME API did not answer the query for {field}. Try again later.")
        return value

    def query_once(self, document: Document) -> Attempt:
        """Execute a query; repeat it only while it certainly had no effect, until the deadline."""
        return self._run(lambda token: self._send(document, token, fields=1))

    def _run(self, send: Callable[[ApplicationToken], Attempt]) -> Attempt:
        renewals = 0

        def attempt() -> Attempt:
            nonlocal renewals
            token = self._tokens.get()
            last = send(token)
            if last.refusal is not None and last.refusal.kind is RefusalKind.RENEW_TOKEN:
                renewals += 1
                self._tokens.get(stale=token)
            return last

        def should_retry(last: Attempt) -> bool:
            if last.refusal is None:
                return False
            if last.refusal.kind is RefusalKind.RENEW_TOKEN:
                return renewals <= _MAX_RENEWALS
            return last.refusal.kind in (RefusalKind.RETRY_LATER, RefusalKind.OTHER_MUTATION_NAMES)

        return self._retries.run(attempt, should_retry)

    def _mutate_once(
        self,
        build: Callable[[MutationNames], Document],
        token: ApplicationToken,
        fields: int,
        refused: set[MutationNames],
    ) -> Attempt:
        candidates = [names for names in (self._names, *MutationNames) if names not in refused]
        names = candidates[0]
        last = self._send(build(names), token, fields)
        if last.refusal is None:
            self._confirm_names(names, last)
        elif last.refusal.kind is RefusalKind.OTHER_MUTATION_NAMES:
            refused.add(names)
            if self._names_confirmed or len(refused) == len(MutationNames):
                unknown = RefusalKind.GIVE_UP if self._names_confirmed else RefusalKind.UNKNOWN_MUTATION
                kind = RefusalKind.SPLIT_BATCH if fields > 1 else unknown
                return Attempt(last.exchange, Refusal(kind, last.refusal.error))
        return last

    def _confirm_names(self, names: MutationNames, executed: Attempt) -> None:
        """Remember the names that the server executed; a lost or unreadable response confirms nothing."""
        if isinstance(executed.exchange, HttpResponse):
            graph = parse_graph_response(executed.exchange)
            if graph is not None and graph.data is not None:
                self._names, self._names_confirmed = names, True

    def _send(self, document: Document, token: ApplicationToken, fields: int) -> Attempt:
        body = SecretStr(json.dumps({"query": document.text.reveal()}))
        exchange = self._network.post_json(_GRAPH_PATH, body, token.value, kind=document.aliases)
        return Attempt(exchange, refusal_of(exchange, fields))


def object_at(attempt: Attempt, alias: str) -> dict[str, object] | None:
    """Return the object under an alias: empty where the API refused that alias, ``None`` where it gave no answer."""
    if not isinstance(attempt.exchange, HttpResponse):
        return None
    graph = parse_graph_response(attempt.exchange)
    if graph is None:
        return None
    value = graph.value(alias)
    if isinstance(value, dict):
        return value
    errors = graph.errors_at(alias)
    return {} if errors and all(error.is_client_error for error in errors) else None
