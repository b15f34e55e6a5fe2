"""The application token: requesting it with the client credentials, and caching it until it is about to expire.

Facts: the grant is OAuth 2.0's client credentials (RFC 6749, 4.4) at ``/api/oauth/token``. An OAuth application may set
a lifetime of 60 minutes to 24 hours, so ``expires_in`` decides and not a constant.
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from dataclasses import dataclass

from pme_airflow.api.fields import checked_token
from pme_airflow.api.graph_response import parse_graph_response, parse_json
from pme_airflow.api.network import Network
from pme_airflow.api.outcomes import Exchange, HttpResponse, NoResponse, Refusal, RefusalKind
from pme_airflow.api.retry import Attempt, RetryPolicy
from pme_airflow.api.settings import DEFAULT_HOST
from pme_airflow.clock import Clock
from pme_airflow.credential_check import certain_mistake, possible_mistakes
from pme_airflow.errors import PMECredentialsError, PMEError, PMEProtocolError, PMEUnavailableError, PMEUnreachableError
from pme_airflow.secrets import SecretStr

__all__ = ["ApplicationToken", "ApplicationTokenCache"]

_TOKEN_PATH = "/api/oauth/token"
#: A token is replaced so many seconds before its end, or after three quarters of its life where that is sooner.
_RENEW_MARGIN_SECONDS = 60.0
#: The documented lifetime, for a response without a readable ``expires_in``.
_DEFAULT_LIFETIME_SECONDS = 3599.0
#: Threads that need a token within so many seconds of a failed request get its error at once.
_SHARED_FAILURE_SECONDS = 1.0
_PASSING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True)
class _Failure:
    error: PMEError
    at: float


@dataclass(frozen=True)
class ApplicationToken:
    """One application token.

    :param value: the bearer token; account-level, so it must never reach a browser, a log or a file.
    :param renew_at: the monotonic time in seconds after which it is replaced.
    """

    value: SecretStr
    renew_at: float


class ApplicationTokenCache:
    """Holds one application token and requests another where it is needed. Safe to share between threads.

    :param client_id: the application's id.
    :param client_secret: its secret.
    :param network: sends the requests.
    :param retries: repeats a request while the API is unreachable, busy or broken.
    :param clock: the clock that the token's lifetime is measured with.
    """

    def __init__(
        self, client_id: str, client_secret: SecretStr, network: Network, retries: RetryPolicy, clock: Clock
    ) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._network = network
        self._retries = retries
        self._clock = clock
        self._token: ApplicationToken | None = None
        self._failure: _Failure | None = None
        self._lock = threading.Lock()

    def get(self, stale: ApplicationToken | None = None) -> ApplicationToken:
        """Return the cached token, or a new one where there is none, it is about to end, or it is ``stale``.

        Threads that need a new token at once cost one request between them, and share its error where it fails.

        :param stale: a token that the API refused.
        :raises PMECredentialsError: where the id or secret is refused.
        :raises PMEUnreachableError: where the API cannot be reached before the deadline.
        :raises PMEUnavailableError: where it is busy or broken until the deadline.
        :raises PMEProtocolError: where the host answers, but not as a PME API.
        """
        with self._lock:
            held, now = self._token, self._clock.monotonic()
            if held is not None and held is not stale and now < held.renew_at:
                return held
            if self._failure is not None and now - self._failure.at < _SHARED_FAILURE_SECONDS:
                raise type(self._failure.error)(*self._failure.error.args)
            try:
                self._token = self._request_token()
            except PMEError as error:
                self._failure = _Failure(error, self._clock.monotonic())
                raise
            return self._token

    def _request_token(self) -> ApplicationToken:
        mistake = certain_mistake(self._client_id, self._client_secret.reveal())
        if mistake is not None:
            raise PMECredentialsError(f"{mistake} Nothing was sent to the PME API.")
        attempt = self._retries.run(
            self._attempt,
            lambda attempt: attempt.refusal is not None and attempt.refusal.kind is RefusalKind.RETRY_LATER,
        )
        if attempt.refusal is not None:
            raise attempt.refusal.error
        assert isinstance(attempt.exchange, HttpResponse)
        return self._read_token(attempt.exchange)

    def _attempt(self) -> Attempt:
        from oauthlib.oauth2 import BackendApplicationClient  # slow to import, and an idle keeper requests nothing

        form = BackendApplicationClient(self._client_id).prepare_request_body(
            include_client_id=True, client_secret=self._client_secret.reveal()
        )
        exchange = self._network.post_form(_TOKEN_PATH, SecretStr(form))
        return Attempt(exchange, self._refusal_of(exchange))

    def _refusal_of(self, exchange: Exchange) -> Refusal | None:
        host = self._network.host
        if isinstance(exchange, NoResponse):
            unreachable = PMEUnreachableError(f"The PME API at {host} was not reached: {exchange.reason}.")
            return Refusal(RefusalKind.RETRY_LATER, unreachable)
        status = exchange.status
        if status == 200 and exchange.complete:
            return None
        if status in _PASSING_STATUSES or status >= 500 or status == 200:
            unavailable = PMEUnavailableError(f"The PME API at {host} cannot issue a token now (HTTP {status}).")
            return Refusal(RefusalKind.RETRY_LATER, unavailable, exchange.retry_after)
        if status in (400, 401, 403) and parse_graph_response(exchange) is not None:
            return Refusal(RefusalKind.GIVE_UP, self._credentials_error(status))
        return Refusal(RefusalKind.GIVE_UP, self._wrong_host_error(status))

    def _credentials_error(self, status: int) -> PMECredentialsError:
        """Return the error for refused credentials, with typing mistakes first, which need no reset."""
        mistakes = possible_mistakes(self._client_id, self._client_secret.reveal())
        hint = f" The client secret {'; it '.join(mistakes)}." if mistakes else ""
        return PMECredentialsError(
            f"The PME API refused the client id or secret (HTTP {status}).{hint} Compare Client ID and Client secret "
            "of the connection with Settings > Developer Tools. Reset the secret only if it is lost, and keep the "
            "earlier one as open:SECRET at the end of Seal keys, since live links are sealed with it."
        )

    def _read_token(self, response: HttpResponse) -> ApplicationToken:
        parsed = parse_json(response.body)
        value = checked_token(parsed.get("access_token")) if isinstance(parsed, dict) else None
        if not isinstance(parsed, dict) or value is None or not value.reveal().isascii():
            raise self._wrong_host_error(response.status)
        lifetime = _read_lifetime(parsed.get("expires_in"))
        margin = min(_RENEW_MARGIN_SECONDS, lifetime / 4)
        return ApplicationToken(value, self._clock.monotonic() + lifetime - margin)

    def _wrong_host_error(self, status: int) -> PMEProtocolError:
        return PMEProtocolError(
            f"{self._network.host} answered the token request with HTTP {status}, but not as a PME API does. Check the "
            f"API address of the connection (the vendor's is {DEFAULT_HOST})."
        )


def _read_lifetime(expires_in: object) -> float:
    """Read ``expires_in`` in seconds, also where it is a text; the documented lifetime where it is unreadable."""
    if isinstance(expires_in, int | float | str) and not isinstance(expires_in, bool):
        with suppress(ValueError, OverflowError):
            seconds = float(expires_in)
            if 0 < seconds < math.inf:
                return seconds
    return _DEFAULT_LIFETIME_SECONDS
