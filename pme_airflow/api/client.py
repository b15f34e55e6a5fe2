"""A client for one PME application, in plain Python."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import requests
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from tenacity import RetryCallState, Retrying, retry_if_result

from pme_airflow.api.answers import (
    HttpResponse,
    MintVerdict,
    NoResponse,
    NotMade,
    NotRevoked,
    Refusal,
    RefusalKind,
    RevokeVerdict,
    forbidden,
    judge_mint,
    judge_revoke,
    read_graph,
    refusal_of,
)
from pme_airflow.api.documents import (
    Document,
    MutationNames,
    mint_document,
    model_document,
    models_document,
    names_document,
    revoke_document,
)
from pme_airflow.api.limiter import Limiter, LocalRateLimit, RateLimit
from pme_airflow.api.messages import MintRequest, Model
from pme_airflow.api.transport import Transport
from pme_airflow.clock import Clock, ServerClock, SystemClock
from pme_airflow.errors import (
    PMECredentialsError,
    PMEError,
    PMEInputError,
    PMEModelError,
    PMENotEnabledError,
    PMEProtocolError,
    PMEUnavailableError,
)
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["DEFAULT_HOST", "ClientSettings", "PMEClient", "limiter_of"]

DEFAULT_HOST = "https://api.matterport.com"
_TOKEN_PATH = "/api/oauth/token"
_GRAPH_PATH = "/api/models/graph"
_RENEW_MARGIN = 60.0
_PAGE_SIZE = 100
_MAX_RENEWALS = 5


@dataclass(frozen=True)
class ClientSettings:
    """How hard one client may lean on the API.

    :param batch_size: aliased mutations in one request.
    :param max_concurrency: requests under way at once, to begin with.
    :param grow_to: how many there may become where the API welcomes it; ``None`` for no more than to begin with.
    :param requests_per_second: a hard ceiling, or ``None`` for none.
    :param timeout: seconds to wait for a connection, and for each part of an answer.
    :param deadline: seconds after which a request that is only refused or unreachable is given up.
    """

    batch_size: int = 10
    max_concurrency: int = 8
    grow_to: int | None = None
    requests_per_second: float | None = None
    timeout: float = 30.0
    deadline: float = 120.0


@dataclass(frozen=True)
class _ApplicationToken:
    value: SecretStr
    renew_at: float


@dataclass(frozen=True)
class _Asked:
    exchange: HttpResponse | NoResponse
    refusal: Refusal | None


class PMEClient:
    """Mints, revokes and lists over one pooled session. Safe to share between threads.

    Facts: the vendor's guide "Private Model Embed" for both endpoints and mutations, its OAuth use-case page for
    HTTP 400 ``invalid_grant``, its GraphQL changelog for partial success.

    :param client_id: the application's id.
    :param client_secret: its secret.
    :param host: base address; plain http is refused for any host but loopback.
    :param settings: sizes and limits.
    :param clock: what time and waiting are taken from.
    :param session: a ``requests`` session to use instead of one of its own.
    :param limiter: shared with other clients; one of its own where it is left out.
    :raises PMEInputError: for an id, secret or host that cannot be right.
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
    ) -> None:
        if not client_id.strip():
            raise PMEInputError("login: is empty. Enter the client id (Settings > Developer Tools).")
        if not client_secret.reveal():
            raise PMEInputError("password: is empty. Enter the client secret (shown once when it is reset).")
        self.client_id = client_id
        self.settings = settings or ClientSettings()
        self._secret = client_secret
        self._clock = clock or SystemClock()
        self.limiter = limiter or limiter_of(self.settings, self._clock)
        self._transport = Transport(host, self.settings.timeout, self.limiter.most, session)
        self.server_clock = ServerClock(self._clock)
        self._token: _ApplicationToken | None = None
        self._token_lock = threading.Lock()
        self._spelling = MutationNames.EMBED_LINK
        self._spelling_settled = False
        self._singly = False

    @property
    def host(self) -> str:
        """The API's base address."""
        return self._transport.host

    def __enter__(self) -> PMEClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()

    def with_deadline(self, seconds: float) -> PMEClient:
        """Return a client of the same application that gives each request up after so many seconds; close it too."""
        settings = replace(self.settings, timeout=min(seconds, self.settings.timeout), deadline=seconds)
        return PMEClient(self.client_id, self._secret, self.host, settings, self._clock, limiter=self.limiter)

    def check_credentials(self) -> None:
        """Buy an application token.

        :raises PMECredentialsError: where the id or secret is refused.
        :raises PMEUnavailableError: where the API is unreachable or busy past the deadline.
        :raises PMEProtocolError: where the host answers, but not as a PME API.
        """
        self._application_token(stale=None)

    def sync_clock(self) -> datetime:
        """The server's time, asked for if no answer has told it yet."""
        if not self.server_clock.known:
            self.check_credentials()
        return self.server_clock.now()

    def mint(self, requests: Sequence[MintRequest]) -> list[MintVerdict]:
        """Ask for links in one request, or one by one where the server takes no batches.

        What certainly did nothing is sent again until the deadline; what may have acted never is.

        :return: a verdict for each request, in order.
        :raises PMECredentialsError: where the credentials are refused, so that no mint was made.
        """
        if self._singly and len(requests) > 1:
            return [verdict for request in requests for verdict in self.mint([request])]
        asked = self._ask(
            lambda: mint_document(requests, self.client_id, self._secret, self._spelling), fields=len(requests)
        )
        if asked.refusal is None:
            aliases = {f"a{index}": request for index, request in enumerate(requests)}
            return list(judge_mint(asked.exchange, aliases, self.server_clock.now()).values())
        if asked.refusal.kind is RefusalKind.FEWER and len(requests) > 1:
            verdicts = [verdict for request in requests for verdict in self.mint([request])]
            self._singly = not any(isinstance(v, NotMade) for v in verdicts)
            return verdicts
        refused = asked.refusal.error
        return [NotMade(refused, not refused.permanent, asked.refusal.retry_after) for _ in requests]

    def revoke(self, tokens: Sequence[AccessToken]) -> list[RevokeVerdict]:
        """Ask for tokens to be revoked in one request, or one by one where the server takes no batches.

        :return: a verdict for each token, in order; only the API's ``true`` is :class:`~.answers.Revoked`.
        :raises PMECredentialsError: where the credentials are refused.
        """
        if self._singly and len(tokens) > 1:
            return [verdict for token in tokens for verdict in self.revoke([token])]
        asked = self._ask(
            lambda: revoke_document(tokens, self.client_id, self._secret, self._spelling), fields=len(tokens)
        )
        if asked.refusal is None:
            return list(judge_revoke(asked.exchange, [f"a{index}" for index in range(len(tokens))]).values())
        if asked.refusal.kind is RefusalKind.FEWER and len(tokens) > 1:
            return [verdict for token in tokens for verdict in self.revoke([token])]
        refused = asked.refusal.error
        return [NotRevoked(str(refused), sent=False, retry_after=asked.refusal.retry_after) for _ in tokens]

    def models(self, query: str = "*") -> Iterator[Model]:
        """List the models the application may see, all pages.

        :raises PMEError: where a page cannot be had.
        """
        offset: str | int | None = None
        seen: set[str | int] = set()
        while True:
            page = self._read(models_document(query, _PAGE_SIZE, offset), "models")
            results = page.get("results") or []
            for raw in results if isinstance(results, list) else []:
                if isinstance(raw, dict) and isinstance(raw.get("id"), str):
                    yield _model(raw)
            following = page.get("nextOffset")
            if following is None or following == "":
                return
            if not isinstance(following, str | int) or following in seen:
                raise PMEProtocolError("The PME API's list of models does not end: an offset came twice.")
            seen.add(following)
            offset = following

    def model(self, model_id: str) -> Model:
        """One model's name and state.

        :raises PMEModelError: where the API knows no such model.
        """
        raw = self._read(model_document(model_id), "model")
        if not raw:
            raise PMEModelError(f"Model {model_id}: the API knows no such model. Check the id.")
        return _model({"visibility": raw.get("accessVisibility"), **raw, "id": raw.get("id") or model_id})

    def model_names(self, model_ids: Sequence[str], seconds: float = 5.0) -> dict[str, str]:
        """The names of models, as far as they can be had in a few seconds; a name is never worth an error.

        :param seconds: how long all of it may take.
        """
        settings = replace(self.settings, timeout=min(seconds, self.settings.timeout), deadline=seconds)
        names: dict[str, str] = {}
        until = self._clock.monotonic() + seconds
        secret, clock = self._secret, self._clock
        with PMEClient(self.client_id, secret, self.host, settings, clock, limiter=self.limiter) as brief:
            for start in range(0, len(model_ids), _PAGE_SIZE):
                if self._clock.monotonic() >= until:
                    break
                with suppress(PMEError):
                    names |= brief._names_of(model_ids[start : start + _PAGE_SIZE])
        return names

    def _names_of(self, model_ids: Sequence[str]) -> dict[str, str]:
        document = names_document(model_ids)
        asked = self._ask(lambda: document, fields=len(model_ids))
        found = {
            model_id: self._graph_field(asked, alias)
            for model_id, alias in zip(model_ids, document.aliases, strict=True)
        }
        return {model_id: str(raw["name"]) for model_id, raw in found.items() if raw and raw.get("name")}

    def check_enabled(self) -> None:
        """Prove that the credentials may use Private Model Embed, by revoking a token that never was.

        :raises PMENotEnabledError: where the API forbids it.
        :raises PMEError: where the credentials or the host are wrong, or the API is away.
        """
        self.check_credentials()
        never = [AccessToken("0" * 25)]
        asked = self._ask(lambda: revoke_document(never, self.client_id, self._secret, self._spelling), fields=1)
        if asked.refusal is not None and isinstance(asked.refusal.error, PMEProtocolError):
            raise PMENotEnabledError(
                "The host answers, but knows neither spelling of the Private Model Embed calls: PME is not enabled, "
                "or the host is not the PME API. Check the host, and ask the vendor whether PME is enabled."
            )
        if asked.refusal is not None:
            raise asked.refusal.error
        if isinstance(asked.exchange, HttpResponse):
            graph = read_graph(asked.exchange)
            if graph is not None and any(error.status in (401, 403) for error in graph.errors_at("a0")):
                raise forbidden()

    def probe_link(self, url: SecretStr) -> int | None:
        """Ask a link itself, without following redirects; its HTTP status, or ``None`` where no answer came."""
        exchange = self._transport.get(url)
        if isinstance(exchange, NoResponse):
            return None
        self.server_clock.observe(exchange.headers.get("Date"))
        return exchange.status

    # ------------------------------------------------------------------ asking

    def _read(self, document: Document, field: str) -> dict[str, object]:
        """Ask a query, which may be sent again whatever happened to it."""
        asked = self._until(
            lambda: self._ask(lambda: document, fields=1),
            lambda asked: asked.refusal is None and self._graph_field(asked, field) is None,
        )
        if asked.refusal is not None:
            raise asked.refusal.error
        value = self._graph_field(asked, field)
        if value is None:
            raise PMEUnavailableError(f"The PME API did not answer the query for {field}. Try again later.")
        return value

    def _graph_field(self, asked: _Asked, field: str) -> dict[str, object] | None:
        if isinstance(asked.exchange, NoResponse):
            return None
        graph = read_graph(asked.exchange)
        if graph is None:
            return None
        value = (graph.data or {}).get(field)
        if isinstance(value, dict):
            return value
        refused = graph.errors_at(field)
        return {} if refused and all(error.refused for error in refused) else None

    def _ask(self, build: Callable[[], Document], fields: int) -> _Asked:
        """Send a document; again, and only while it certainly did nothing, until the deadline."""
        renewals = 0

        def ask() -> _Asked:
            nonlocal renewals
            token = self._application_token(stale=None)
            asked = self._ask_once(build(), token, fields)
            if asked.refusal is not None and asked.refusal.kind is RefusalKind.RENEW_TOKEN:
                renewals += 1
                self._application_token(stale=token)
            return asked

        def again(asked: _Asked) -> bool:
            if asked.refusal is None:
                return False
            if asked.refusal.kind is RefusalKind.RENEW_TOKEN:
                return renewals <= _MAX_RENEWALS
            return asked.refusal.kind in (RefusalKind.WAIT, RefusalKind.OTHER_SPELLING)

        return self._until(ask, again)

    def _ask_once(self, document: Document, token: _ApplicationToken, fields: int) -> _Asked:
        spelling = self._spelling
        body = SecretStr(json.dumps({"query": document.text.reveal()}))
        exchange = self._send(lambda: self._transport.post_json(_GRAPH_PATH, body, token.value), document.aliases)
        if isinstance(exchange, HttpResponse):
            self.server_clock.observe(exchange.headers.get("Date"))
        refusal = refusal_of(exchange, fields)
        if refusal is None:
            self._spelling_settled = True
        elif refusal.kind is RefusalKind.OTHER_SPELLING:
            refusal = self._respelled(spelling, refusal, fields)
        return _Asked(exchange, refusal)

    def _send(self, send: Callable[[], HttpResponse | NoResponse], kind: object) -> HttpResponse | NoResponse:
        """Send when it is a request's turn, and let the limiter learn from the answer.

        :param kind: names requests whose latencies can be compared.
        """
        started = self.limiter.start()
        answer: HttpResponse | None = None
        try:
            exchange = send()
            answer = exchange if isinstance(exchange, HttpResponse) else None
        finally:
            status, wait = (answer.status, answer.retry_after) if answer else (None, None)
            self.limiter.ended(started, status, wait, kind)
        return exchange

    def _respelled(self, used: MutationNames, refusal: Refusal, fields: int) -> Refusal:
        """Take the second spelling once; a server that refuses both is no PME API."""
        with self._token_lock:
            if used is not self._spelling:
                return refusal
            if used is MutationNames.EMBED_LINK and not self._spelling_settled:
                self._spelling = MutationNames.ACCESS_LINK
                return refusal
        kind = RefusalKind.FEWER if fields > 1 else RefusalKind.GIVE_UP
        return Refusal(kind, refusal.error)

    def _until(self, ask: Callable[[], _Asked], again: Callable[[_Asked], bool]) -> _Asked:
        """Ask while ``again`` says so and the deadline leaves room; the last answer either way."""
        begun = self._clock.monotonic()

        def wait(state: RetryCallState) -> float:
            asked = state.outcome.result() if state.outcome else None
            refusal = asked.refusal if isinstance(asked, _Asked) else None
            if refusal is not None and refusal.kind in (RefusalKind.RENEW_TOKEN, RefusalKind.OTHER_SPELLING):
                return 0.0
            jittered: float = random.uniform(0.5, 1.0) * min(0.2 * 2 ** min(state.attempt_number, 8), 20.0)  # noqa: S311
            if refusal is not None and refusal.retry_after is not None:
                return refusal.retry_after + jittered / 10
            return jittered

        def stop(state: RetryCallState) -> bool:
            spent = self._clock.monotonic() - begun
            return spent + (state.upcoming_sleep or 0.0) > self.settings.deadline

        retrying = Retrying(
            retry=retry_if_result(again),
            wait=wait,
            stop=stop,
            sleep=self._clock.sleep,
            retry_error_callback=_last_result,
        )
        return retrying(ask)

    # ------------------------------------------------------- the application token

    def _application_token(self, stale: _ApplicationToken | None) -> _ApplicationToken:
        """The cached token, bought anew where it is missing, about to expire, or the very one known to be stale."""
        with self._token_lock:
            held = self._token
            if held is not None and held is not stale and self._clock.monotonic() < held.renew_at:
                return held
            self._token = self._buy_token()
            return self._token

    def _buy_token(self) -> _ApplicationToken:
        asked = self._until(
            self._ask_for_token,
            lambda asked: asked.refusal is not None and asked.refusal.kind is RefusalKind.WAIT,
        )
        if asked.refusal is not None:
            raise asked.refusal.error
        assert isinstance(asked.exchange, HttpResponse)
        return self._read_token(asked.exchange)

    def _ask_for_token(self) -> _Asked:
        application = BackendApplicationClient(self.client_id)
        form = SecretStr(application.prepare_request_body(include_client_id=True, client_secret=self._secret.reveal()))
        exchange = self._send(lambda: self._transport.post_form(_TOKEN_PATH, form), _TOKEN_PATH)
        if isinstance(exchange, HttpResponse):
            self.server_clock.observe(exchange.headers.get("Date"))
        return _Asked(exchange, self._token_refusal(exchange))

    def _token_refusal(self, exchange: HttpResponse | NoResponse) -> Refusal | None:
        if isinstance(exchange, NoResponse):
            error: PMEError = PMEUnavailableError(f"The PME API at {self.host} was not reached: {exchange.reason}.")
            return Refusal(RefusalKind.WAIT, error)
        status = exchange.status
        if status == 200 and exchange.complete:
            return None
        if status in (408, 425, 429) or status >= 500 or (status == 200 and not exchange.complete):
            error = PMEUnavailableError(f"The PME API at {self.host} cannot give a token now (HTTP {status}).")
            return Refusal(RefusalKind.WAIT, error, exchange.retry_after)
        if status in (400, 401, 403) and read_graph(exchange) is not None:
            error = PMECredentialsError(
                f"The PME API refused the client id or secret (HTTP {status}). Reset the secret (Settings > Developer "
                "Tools > Reset secret), enter it in the connection's password, and check that login is the client id."
            )
            return Refusal(RefusalKind.GIVE_UP, error)
        return Refusal(RefusalKind.GIVE_UP, self._wrong_host(status))

    def _read_token(self, answer: HttpResponse) -> _ApplicationToken:
        bought: object = None
        with suppress(OAuth2Error, ValueError, TypeError, KeyError, Warning):
            bought = BackendApplicationClient(self.client_id).parse_request_body_response(
                answer.body.decode("utf-8", "replace")
            )
        token = bought.get("access_token") if isinstance(bought, dict) else None
        if not isinstance(bought, dict) or not isinstance(token, str) or not token:
            raise self._wrong_host(answer.status)
        lifetime = bought.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float | str) and _is_number(lifetime) else 3599.0
        margin = min(_RENEW_MARGIN, seconds / 4)
        return _ApplicationToken(SecretStr(token), self._clock.monotonic() + seconds - margin)

    def _wrong_host(self, status: int) -> PMEProtocolError:
        return PMEProtocolError(
            f"{self.host} answered the token request with HTTP {status}, but not as a PME API does. Check the host of "
            f"the connection (the vendor's is {DEFAULT_HOST})."
        )


def limiter_of(settings: ClientSettings, clock: Clock, ceiling: RateLimit | None = None) -> Limiter:
    """The limiter that settings ask for.

    :param ceiling: one to keep to in place of one of this process alone.
    """
    if ceiling is None and settings.requests_per_second is not None:
        ceiling = LocalRateLimit(settings.requests_per_second, clock)
    return Limiter(settings.max_concurrency, settings.grow_to or 0, clock, ceiling)


def _last_result(state: RetryCallState) -> _Asked:
    assert state.outcome is not None
    last: _Asked = state.outcome.result()
    return last


def _is_number(value: float | str) -> bool:
    try:
        return float(value) > 0
    except ValueError:
        return False


def _model(raw: dict[str, object]) -> Model:
    def text(key: str) -> str:
        value = raw.get(key)
        return value if isinstance(value, str) else ""

    return Model(text("id"), text("name"), text("state"), text("visibility"))
