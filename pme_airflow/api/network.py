"""Send a client's requests when the limiter allows it, and read the server's time from each response."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pme_airflow.api.limiter import Limiter
from pme_airflow.api.outcomes import Exchange, HttpResponse
from pme_airflow.api.transport import Transport
from pme_airflow.clock import Clock, ServerClock
from pme_airflow.secrets import SecretStr

__all__ = ["Network"]

_RATE_LIMIT = re.compile(r"(x-)?rate-?limit(-[a-z-]{1,40})?|retry-after", re.IGNORECASE)
_LIMIT_VALUE = re.compile(r"[\w ;=\",:-]{1,80}", re.ASCII)


class Network:
    """Sends requests to one host, within the limiter's limits. Safe to share between threads.

    :param transport: the pooled connections to the host.
    :param limiter: decides when a request starts, and learns from each response.
    :param clock: the clock that the server's time is counted on with.
    """

    def __init__(self, transport: Transport, limiter: Limiter, clock: Clock) -> None:
        self.limiter = limiter
        self.server_clock = ServerClock(clock)
        #: The headers about rate limits of the last response that had any.
        self.rate_limit_headers: Mapping[str, str] = {}
        self._transport = transport

    @property
    def host(self) -> str:
        """The API's base address, without a trailing slash."""
        return self._transport.host

    def post_form(self, path: str, form: SecretStr) -> Exchange:
        """POST a form body that is already encoded."""
        return self._limited(lambda: self._transport.post_form(path, form), path)

    def post_json(self, path: str, body: SecretStr, token: SecretStr, kind: object) -> Exchange:
        """POST a JSON text with a bearer token.

        :param kind: names requests whose latencies can be compared.
        """
        return self._limited(lambda: self._transport.post_json(path, body, token), kind)

    def get(self, url: SecretStr) -> Exchange:
        """GET a whole address without credentials, redirects not followed and outside of the limits.

        It may be of another host, whose ``Date`` is not the API's time.
        """
        return self._transport.get(url)

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()

    def _limited(self, send: Callable[[], Exchange], kind: object) -> Exchange:
        started = self.limiter.start()
        response: HttpResponse | None = None
        try:
            exchange = send()
            response = exchange if isinstance(exchange, HttpResponse) else None
        finally:
            status, retry_after = (response.status, response.retry_after) if response else (None, None)
            self.limiter.ended(started, status, retry_after, kind)
        if response is not None:
            self.server_clock.observe(response.headers.get("Date"))
            self.rate_limit_headers = _rate_limit_headers(response) or self.rate_limit_headers
        return exchange


def _rate_limit_headers(response: HttpResponse) -> dict[str, str]:
    """Return the headers that tell of rate limits, as far as their values are short and plain."""
    return {
        str(name): str(value)
        for name, value in response.headers.items()
        if _RATE_LIMIT.fullmatch(str(name)) and _LIMIT_VALUE.fullmatch(str(value))
    }
