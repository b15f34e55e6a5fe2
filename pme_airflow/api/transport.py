"""HTTP over one pooled session, which records for each request whether any of it was written to the socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from pme_airflow.addresses import checked_base_url
from pme_airflow.api.bounded import bound_response, read_body
from pme_airflow.api.bounded_session import BoundedConnection, bound_adapter, ignore_redirects
from pme_airflow.api.outcomes import Exchange, HttpResponse, NetworkFailure, NoResponse
from pme_airflow.secrets import SecretStr

__all__ = ["Transport"]

#: The time for a whole response, headers included, as a multiple of the timeout of one read.
_TOTAL_TIMEOUTS = 2.0
_HEADERS = {"Accept-Encoding": "gzip"}
#: Whether the thread's current request was written: false before its first byte, ``None`` where nothing recorded it.
_sent = threading.local()


class _WriteRecorder(BoundedConnection):
    """Records that a request may have reached the server, just before it is written, headers and body at once."""

    _unsent: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        if getattr(self, "sock", None) is None:
            self.connect()  # type: ignore[attr-defined]
        _sent.written = True
        unsent = self._unsent = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._unsent = None
        self.send(b"".join(unsent))

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._unsent.append(data)


class _RecordingAdapter(HTTPAdapter):
    """Sends requests, and looks the connections of an address up once: the same address is posted to all the time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pools: dict[str | None, Any] = {}
        super().__init__(*args, **kwargs)
        bound_adapter(self, _WriteRecorder)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        _sent.written = False
        return super().send(*args, **kwargs)

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method != "POST":  # its address may hold a token, which is not to be kept
            return super().get_connection_with_tls_context(request, *args, **kwargs)
        pool = self._pools.get(request.url)
        if pool is None or pool.pool is None:  # closed: more hosts were asked than pools are kept
            pool = self._pools[request.url] = super().get_connection_with_tls_context(request, *args, **kwargs)
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Make what :class:`Transport` reads of a response, without its text's encoding and its cookies."""
        response = requests.Response()
        response.status_code, response.headers = resp.status, CaseInsensitiveDict(resp.headers)
        response.raw, response.request, response.connection = resp, req, self
        return response


class _NoAuth(AuthBase):
    """Sets no ``Authorization`` header, and keeps ``requests`` from taking one from ``.netrc``."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


@dataclass(frozen=True)
class _Route:
    """The parts that all requests to one address share: preparing them again costs as much as sending a request.

    :param template: the request without a body and a token.
    :param settings: the proxies and the certificates that the environment names, for ``Session.send``.
    """

    template: requests.PreparedRequest
    settings: Mapping[str, Any]

    def request(self, body: SecretStr, token: SecretStr | None, cookies: RequestsCookieJar) -> requests.PreparedRequest:
        """Return a request with a body, and with a bearer token where one is given."""
        prepared = self.template.copy()
        prepared.body = body.reveal().encode()
        prepared.headers["Content-Length"] = str(len(prepared.body))
        if token is not None:
            prepared.headers["Authorization"] = f"Bearer {token.reveal()}"
        if cookies:
            prepared.prepare_cookies(cookies)
        return prepared


class Transport:
    """Sends requests to one host. A failure is returned as :class:`NoResponse`, never raised.

    :param host: the API's base address.
    :param timeout: seconds to wait for a connection, and for each read of a response; a whole response may take twice
        as long.
    :param connections: how many idle connections are kept.
    :param session: a session to use instead of one of its own.
    :raises PMEInputError: for a host that cannot be right.
    """

    def __init__(self, host: str, timeout: float, connections: int, session: requests.Session | None = None) -> None:
        self.host = checked_base_url(host, field="host")
        self._timeout = timeout
        self.session = session or requests.Session()
        ignore_redirects(self.session)
        adapter = _RecordingAdapter(pool_maxsize=connections, pool_block=False)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, adapter)
        self._routes: dict[str, _Route] = {}

    def post_form(self, path: str, form: SecretStr) -> Exchange:
        """POST a form body that is already encoded."""
        return self._post(path, "application/x-www-form-urlencoded", form, None)

    def post_json(self, path: str, body: SecretStr, token: SecretStr) -> Exchange:
        """POST a JSON text with a bearer token."""
        return self._post(path, "application/json", body, token)

    def get(self, url: SecretStr) -> Exchange:
        """GET a whole address without credentials."""

        def send() -> requests.Response:
            return self.session.get(
                url.reveal(),
                headers=_HEADERS,
                auth=_NoAuth(),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )

        return self._exchange(send)

    def close(self) -> None:
        """Close the pooled connections."""
        self.session.close()

    def _post(self, path: str, content_type: str, body: SecretStr, token: SecretStr | None) -> Exchange:
        def send() -> requests.Response:
            route = self._routes.get(path) or self._add_route(path, content_type)
            request = route.request(body, token, self.session.cookies)
            return self.session.send(request, timeout=self._timeout, allow_redirects=False, **route.settings)

        return self._exchange(send)

    def _add_route(self, path: str, content_type: str) -> _Route:
        url = self.host + path
        headers = {**_HEADERS, "Accept": "application/json", "Content-Type": content_type}
        template = self.session.prepare_request(requests.Request("POST", url, headers, auth=_NoAuth()))
        template.headers.pop("Cookie", None)
        route = _Route(template, self.session.merge_environment_settings(url, {}, True, None, None))
        self._routes[path] = route
        return route

    def _exchange(self, send: Callable[[], requests.Response]) -> Exchange:
        _sent.written = None
        bound_response(self._timeout * _TOTAL_TIMEOUTS)
        try:
            response = send()
        except requests.exceptions.ConnectTimeout:
            timed_out = NetworkFailure.CONNECT_TIMEOUT
            return NoResponse(bool(_sent.written), timed_out.value, timed_out)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            failure = _failure(error, written=bool(_sent.written))
            return NoResponse(_sent.written is not False, failure.value, failure)
        return _received(response)


def _received(response: requests.Response) -> Exchange:
    body, complete = read_body(response.raw)
    if not complete:
        response.close()
    return HttpResponse(response.status_code, response.headers, body, complete)


def _failure(error: BaseException, *, written: bool = False) -> NetworkFailure:
    """Name a failure of the connection, without the exception's own text, which holds the address.

    :param written: whether the request was written, so that a proxy had let it through: ``urllib3`` blames the proxy
        for whatever ends a connection through it.
    """
    if isinstance(error, requests.exceptions.Timeout):
        return NetworkFailure.TIMEOUT
    if isinstance(error, requests.exceptions.ProxyError):
        return NetworkFailure.BROKEN if written else NetworkFailure.PROXY
    if isinstance(error, requests.exceptions.SSLError):
        return NetworkFailure.TLS
    inner: object = error
    while isinstance(inner, Exception) and inner.args and isinstance(inner.args[0], Exception):
        inner = inner.args[0]
    reason = getattr(inner, "reason", inner)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return NetworkFailure.NAME
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return NetworkFailure.CONNECT
    return NetworkFailure.BROKEN
