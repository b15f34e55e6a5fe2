"""The client of one PME application: the calls, in plain Python."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

import requests

from pme_airflow.api.application_token import ApplicationTokenCache
from pme_airflow.api.batch_size import BatchSize
from pme_airflow.api.dialect import DialectMemory, MutationNames
from pme_airflow.api.documents import (
    aliases_of,
    names_document,
)
from pme_airflow.api.fields import checked_model, checked_text, is_encodable
from pme_airflow.api.graph_endpoint import GraphEndpoint, object_at
from pme_airflow.api.graph_response import parse_graph_response
from pme_airflow.api.judge import not_enabled_error
from pme_airflow.api.limiter import Limiter
from pme_airflow.api.messages import MintRequest, Model
from pme_airflow.api.model_pages import PAGE_SIZE, model_pages
from pme_airflow.api.mutations import Mutations
from pme_airflow.api.network import Network
from pme_airflow.api.outcomes import (
    Exchange,
    HttpResponse,
    MintVerdict,
    RefusalKind,
    RevokeVerdict,
)
from pme_airflow.api.retry import RetryPolicy
from pme_airflow.api.settings import DEFAULT_HOST, ClientSettings, limiter_of
from pme_airflow.api.token_probe import Liveness, ProbeMethod, judge_page, judge_query, probe_fact, probe_query
from pme_airflow.api.transport import Transport
from pme_airflow.clock import Clock, ServerClock, SystemClock
from pme_airflow.errors import (
    PMEError,
    PMEInputError,
    PMENotEnabledError,
)
from pme_airflow.printable import shape_of
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["DEFAULT_HOST", "NEVER_ISSUED", "ClientSettings", "PMEClient", "limiter_of"]

#: A text in the documented format of tokens that a random source does not produce in practice.
NEVER_ISSUED = AccessToken("0" * 25)

log = logging.getLogger(__name__)


class PMEClient:
    """Mints, revokes and lists over one pooled session. Safe to share between threads.

    Facts: the vendor's guide "Private Model Embed" for both endpoints and mutations, its OAuth use-case page for
    HTTP 400 ``invalid_grant``, its GraphQL changelog for partial success.

    :param client_id: the application's id.
    :param client_secret: its secret.
    :param host: base address; plain http is refused for any host but loopback.
    :param settings: sizes and limits.
    :param clock: the source of time and of waiting.
    :param session: a ``requests`` session to use instead of one of its own.
    :param limiter: shared with other clients; one of its own where it is left out.
    :param memory: the form of documents that the API executes; one of its own where it is left out.
    :raises PMEInputError: for an empty id or secret, or an invalid host.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: SecretStr,
        host: str = DEFAULT_HOST,
        settings: ClientSettings | None = None,
        clock: Clock | None = None,
        session: requests.Session | None = None,
        limiter: Limiter | None = None,
        memory: DialectMemory | None = None,
    ) -> None:
        if not client_id.strip():
            raise PMEInputError("Client ID: is empty. Enter the client id (Settings > Developer Tools).")
        if not client_secret.reveal():
            raise PMEInputError("Client secret: is empty. Enter the client secret (shown once when it is reset).")
        for field, text in (("Client ID", client_id), ("Client secret", client_secret.reveal())):
            if not is_encodable(text):
                raise PMEInputError(f"{field}: holds half of a character (a lone surrogate). Enter it anew.")
        self.client_id = client_id
        self.settings = settings or ClientSettings()
        self._secret = client_secret
        self._clock = clock or SystemClock()
        self.limiter = limiter or limiter_of(self.settings, self._clock)
        transport = Transport(host, self.settings.timeout, self.limiter.most, session)
        self._retries = retries = RetryPolicy(self.settings.deadline, self._clock)
        self._network = Network(transport, self.limiter, self._clock)
        self._tokens = ApplicationTokenCache(client_id, client_secret, self._network, retries, self._clock)
        self._memory = memory or DialectMemory()
        self._graph = GraphEndpoint(self._network, self._tokens, retries, self._memory)
        self._mutations = Mutations(client_id, client_secret, self._graph, self._network, self.settings, self._clock)

    @property
    def host(self) -> str:
        """The API's base address, without a trailing slash."""
        return self._network.host

    @property
    def server_clock(self) -> ServerClock:
        """The server's time, as the last response gave it."""
        return self._network.server_clock

    @property
    def takes_batches(self) -> bool:
        """Whether several mutations in one request have not been refused."""
        return self._mutations.takes_batches

    @property
    def batch_size(self) -> BatchSize:
        """How many mutations the next request may hold."""
        return self._mutations.batch_size

    @property
    def models_per_token(self) -> int | None:
        """For how many models the API makes a token at the most; ``None`` where no limit was found."""
        return self._memory.models_per_token

    def limit_models_per_token(self, most: int) -> None:
        """Request no tokens for more models from now on; other processes learn of it for a day."""
        self._memory.limit_models_per_token(most)

    @property
    def mutation_names(self) -> MutationNames | None:
        """The names of the mutations that the server has executed; ``None`` before it has executed one."""
        return self._memory.dialect.names if self._memory.names_confirmed else None

    @property
    def rate_limit_headers(self) -> Mapping[str, str]:
        """The headers about rate limits of the last response that had any."""
        return self._network.rate_limit_headers

    def __enter__(self) -> PMEClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._network.close()

    def with_deadline(self, seconds: float) -> PMEClient:
        """Return a client of the same application that repeats no request after so many seconds from now; close it."""
        client = self.with_patience(seconds)
        client._retries.end_at(self._clock.monotonic() + seconds)
        return client

    def with_patience(self, seconds: float) -> PMEClient:
        """Return a client of the same application that gives up each call after so many seconds; close it."""
        settings = replace(self.settings, timeout=min(seconds, self.settings.timeout), deadline=seconds)
        return PMEClient(
            self.client_id, self._secret, self.host, settings, self._clock, limiter=self.limiter, memory=self._memory
        )

    def check_credentials(self) -> None:
        """Request an application token where none is cached.

        :raises PMECredentialsError: where the id or secret is refused.
        :raises PMEUnreachableError: where the API cannot be reached before the deadline.
        :raises PMEUnavailableError: where it is busy or broken until the deadline.
        :raises PMEProtocolError: where the host answers, but not as a PME API.
        """
        self._tokens.get()

    def sync_clock(self) -> datetime:
        """Return the server's time, after a request for a token where no response has given it yet.

        :raises PMEError: as :meth:`check_credentials` does.
        """
        if not self.server_clock.known:
            self.check_credentials()
        return self.server_clock.now()

    def mint(self, requests: Sequence[MintRequest]) -> list[MintVerdict]:
        """Mint links and tokens in one request, or in smaller ones where the server refuses that.

        A request that certainly had no effect is repeated until the deadline; one that may have had an effect never is.

        :return: a verdict for each request, in order.
        :raises PMECredentialsError: where the credentials are refused, so that no link was made.
        :raises PMEUnavailableError: where no application token can be had, so that no link was made.
        """
        return self._mutations.mint(requests)

    def revoke(self, tokens: Sequence[AccessToken]) -> list[RevokeVerdict]:
        """Revoke tokens in one request, or in smaller ones where the server refuses that.

        :return: a verdict for each token, in order; only the API's ``true`` is :class:`~.outcomes.Revoked`.
        :raises PMECredentialsError: where the credentials are refused.
        :raises PMEUnavailableError: where no application token can be had.
        """
        return self._mutations.revoke(tokens)

    def models(self, query: str = "*") -> Iterator[Model]:
        """List the models that the application may see, all pages.

        What is listed without a model id is skipped and logged, so that no id can
        name a path, a script or a page of its own. Names are cleaned of control characters.

        :param query: the vendor's search text; ``*`` for every model.
        :raises PMEError: where a page cannot be had.
        """
        skipped: list[object] = []
        for page in model_pages(self._graph, query):
            results = page.get("results")
            for raw in results if isinstance(results, list) else []:
                model = checked_model(raw)
                if model is None:
                    skipped.append(raw.get("id") if isinstance(raw, dict) else raw)
                else:
                    yield model
        if skipped:
            log.warning(
                "The API listed %d models without a model id; in place of the first is %s. They are skipped.",
                len(skipped),
                shape_of(skipped[0]),
            )

    def model_names(self, model_ids: Sequence[str], seconds: float = 5.0) -> dict[str, str]:
        """Return the names of models by id, as far as they can be had in a few seconds; never raise for a name.

        :param seconds: how long all of it may take.
        """
        names: dict[str, str] = {}
        until = self._clock.monotonic() + seconds
        with self.with_deadline(seconds) as brief:
            for start in range(0, len(model_ids), PAGE_SIZE):
                if self._clock.monotonic() >= until:
                    break
                with suppress(PMEError):
                    names |= brief._names_of(model_ids[start : start + PAGE_SIZE])
        return names

    def _names_of(self, model_ids: Sequence[str]) -> dict[str, str]:
        if "name" in self._memory.dialect.refused:
            return {}
        attempt = self._graph.query_once(partial(names_document, model_ids))
        found = zip(model_ids, (object_at(attempt, alias) for alias in aliases_of(len(model_ids))), strict=True)
        names = ((model_id, checked_text(raw.get("name"))) for model_id, raw in found if raw)
        return {model_id: name for model_id, name in names if name}

    def check_enabled(self) -> None:
        """Check that the credentials may use Private Model Embed, by revoking a token that was never issued.

        :raises PMENotEnabledError: where the API forbids it, or knows no such mutation.
        :raises PMEError: where the credentials or the host are wrong, or the API is unavailable.
        """
        attempt = self._mutations.revoke_once([NEVER_ISSUED])
        if attempt.refusal is not None and attempt.refusal.kind is RefusalKind.UNKNOWN_MUTATION:
            raise PMENotEnabledError(
                "The host answers, but knows the Private Model Embed mutations by neither of their names: PME is not "
                "enabled, or the host is not the PME API. Check the host, and ask the vendor whether PME is enabled."
            )
        if attempt.refusal is not None:
            raise attempt.refusal.error
        graph = parse_graph_response(attempt.exchange) if isinstance(attempt.exchange, HttpResponse) else None
        (alias,) = aliases_of(1)
        if graph is not None and any(error.status in (401, 403) for error in graph.errors_at(alias)):
            raise not_enabled_error()

    def reach(self) -> Exchange:
        """Request the host itself, without credentials: any response shows that it can be reached."""
        return self._network.get(SecretStr(f"{self.host}/"))

    def probe_token(self, method: ProbeMethod, model_id: str, token: AccessToken, url: SecretStr) -> Liveness:
        """Ask once whether a model-scoped token works.

        :param method: the way to ask; whether it can be believed is another question.
        :param url: the token's link.
        """
        if method is ProbeMethod.PAGE:
            return judge_page(self._network.get(url))
        return judge_query(self._graph.execute_with(probe_query(model_id), token))

    def probe_each(self, model_id: str, token: AccessToken, url: SecretStr) -> dict[ProbeMethod, Liveness]:
        """Ask once in each way whether a model-scoped token works."""
        return {method: self.probe_token(method, model_id, token, url) for method in ProbeMethod}

    def remember_probe(self, method: ProbeMethod | None) -> None:
        """Keep which way distinguishes a dead token from a live one for the client's other processes, for a day."""
        self._memory.keep(probe_fact(method))

    def probe_link(self, url: SecretStr) -> int | None:
        """Request a link itself, without following redirects.

        :return: its HTTP status, or ``None`` where there was no response.
        """
        exchange = self._network.get(url)
        return exchange.status if isinstance(exchange, HttpResponse) else None
