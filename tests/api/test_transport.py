"""HTTP to a real server of this machine: what was written, what was received, and what is never followed or shown."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, ProtocolError

from pme_airflow.api.outcomes import HttpResponse, NetworkFailure, NoResponse
from pme_airflow.api.transport import Transport, _failure, _received
from pme_airflow.secrets import SecretStr
from tests.support.certificates import Authority
from tests.support.handlers import serving_handler


class Handler(BaseHTTPRequestHandler):
    """Answers by the path; keeps the headers of each request."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.seen.append({"path": self.path, **self.headers, "body": self.rfile.read(length).decode()})
        getattr(self, "answer_" + self.path.strip("/").replace("/", "_"), self.answer)()

    do_GET = do_POST  # noqa: N815

    def answer(self) -> None:
        self._send(200, b'{"data": {}}')

    def answer_cookie(self) -> None:
        self._send(200, b"{}", **{"Set-Cookie": "balancer=one; Path=/"})

    def answer_redirect(self) -> None:
        self._send(307, b"", Location="/elsewhere")

    def answer_redirect_nowhere(self) -> None:
        self._send(307, b"", Location="https://xn--\u00e9/")

    def answer_reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def answer_cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"data"')
        self.close_connection = True

    def answer_chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b'3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n')

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def seen() -> list[dict[str, str]]:
    return []


@pytest.fixture
def transport(seen: list[dict[str, str]]) -> Iterator[Transport]:
    with serving_handler(type("Server", (Handler,), {"seen": seen})) as address:
        made = Transport(address, 5.0, 2)
        yield made
        made.close()


def post(transport: Transport, path: str) -> HttpResponse | NoResponse:
    return transport.post_json(path, SecretStr('{"query": "ü"}'), SecretStr("app"))


def test_a_json_request_carries_the_bearer_token_and_a_form_none(
    transport: Transport, seen: list[dict[str, str]]
) -> None:
    post(transport, "/a")
    transport.post_form("/b", SecretStr("x=1"))
    json_request, form = seen
    assert (json_request["Authorization"], json_request["Content-Type"]) == ("Bearer app", "application/json")
    assert json_request["body"] == '{"query": "ü"}'
    assert "Authorization" not in form
    assert (form["Content-Type"], form["body"]) == ("application/x-www-form-urlencoded", "x=1")


def test_no_netrc_entry_is_sent(
    transport: Transport, seen: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    post(transport, "/a")
    transport.get(SecretStr(transport.host + "/b"))
    assert [request.get("Authorization") for request in seen] == ["Bearer app", None]


def test_only_gzip_is_asked_for(transport: Transport, seen: list[dict[str, str]]) -> None:
    post(transport, "/a")
    transport.post_form("/b", SecretStr("x=1"))
    transport.get(SecretStr(transport.host + "/c"))
    assert [request["Accept-Encoding"] for request in seen] == ["gzip"] * 3


def test_a_response_may_take_twice_the_timeout_of_a_read(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []
    monkeypatch.setattr("pme_airflow.api.transport.bound_response", bounds.append)
    post(transport, "/a")
    assert bounds == [10.0]


def test_a_cookie_of_the_api_is_sent_back(transport: Transport, seen: list[dict[str, str]]) -> None:
    for path in ("/a", "/cookie", "/a", "/b"):
        post(transport, path)
    assert [request.get("Cookie") for request in seen] == [None, None, "balancer=one", "balancer=one"]


def test_a_request_is_written_at_once() -> None:
    written: list[bytes] = []
    adapter = Transport("https://api.test", 5.0, 2).session.get_adapter("https://api.test")
    assert isinstance(adapter, HTTPAdapter)
    connection: Any = adapter.poolmanager.connection_from_url("https://api.test").ConnectionCls("api.test")
    connection.sock = Mock(sendall=written.append)
    connection.request("POST", "/a", body=b"body")
    (whole,) = written
    assert whole.startswith(b"POST /a HTTP/1.1\r\n")
    assert whole.endswith(b"\r\n\r\nbody")


def test_the_environment_names_proxies_and_certificates_once(
    transport: Transport, seen: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    merge = transport.session.merge_environment_settings
    monkeypatch.setattr(
        transport.session, "merge_environment_settings", lambda *args: (read.append(args[0]), merge(*args))[1]
    )
    for path in ("/a", "/a", "/a"):
        assert isinstance(post(transport, path), HttpResponse)
    assert read == [f"{transport.host}/a"]


def test_every_request_names_its_limits(
    transport: Transport, seen: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[dict[str, Any]] = []
    send = transport.session.send
    monkeypatch.setattr(
        transport.session, "send", lambda request, **named: (options.append(named), send(request, **named))[1]
    )
    post(transport, "/a")
    transport.get(SecretStr(transport.host + "/b"))
    assert [(named["timeout"], named["allow_redirects"]) for named in options] == [(5.0, False)] * 2
    assert options[1]["stream"] is True


def test_so_many_idle_connections_are_kept_as_there_are_requests(transport: Transport) -> None:
    for scheme in ("https://", "http://"):
        adapter = transport.session.get_adapter(f"{scheme}x.test")
        assert isinstance(adapter, HTTPAdapter)
        assert (adapter._pool_maxsize, adapter._pool_block) == (2, False)


def test_the_connections_of_an_address_are_looked_up_once_and_again_when_they_were_closed(
    transport: Transport, seen: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    look_up = HTTPAdapter.get_connection_with_tls_context

    def counted(self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **named: Any) -> Any:
        looked_up.append(str(request.url))
        return look_up(self, request, *args, **named)

    monkeypatch.setattr(HTTPAdapter, "get_connection_with_tls_context", counted)
    for count in (1, 1, 2, 2):
        assert isinstance(post(transport, "/a"), HttpResponse)
        assert looked_up == [f"{transport.host}/a"] * count
        if len(seen) == 2:
            adapter = transport.session.get_adapter(transport.host)
            adapter.close()
            for pool in adapter._pools.values():  # type: ignore[attr-defined]
                pool.close()


def test_a_cookie_that_the_session_no_longer_has_is_not_sent(transport: Transport, seen: list[dict[str, str]]) -> None:
    for path in ("/cookie", "/a"):
        post(transport, path)
    transport.session.cookies.clear()
    post(transport, "/a")
    assert [request.get("Cookie") for request in seen] == [None, "balancer=one", None]


def test_a_time_out_while_connecting_was_not_written(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.session, "send", Mock(side_effect=requests.exceptions.ConnectTimeout))
    exchange = post(transport, "/a")
    assert exchange == NoResponse(False, "timed out while connecting")
    assert isinstance(exchange, NoResponse)
    assert exchange.failure is NetworkFailure.CONNECT_TIMEOUT


def test_a_request_of_which_nothing_is_known_may_have_acted(transport: Transport) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        assert transport.get(SecretStr(closed)) == NoResponse(False, "could not connect")
        assert transport.get(SecretStr("http://[broken")) == NoResponse(True, "the connection broke")


@pytest.mark.parametrize("complete", [True, False])
def test_a_connection_is_closed_where_the_rest_of_a_response_would_follow(
    complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pme_airflow.api.transport.read_body", lambda _: (b"{}", complete))
    response = Mock(status_code=200, headers={})
    assert _received(response) == HttpResponse(200, {}, b"{}", complete)
    assert response.close.called is not complete


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (requests.exceptions.ReadTimeout(), NetworkFailure.TIMEOUT),
        (requests.exceptions.ProxyError(), NetworkFailure.PROXY),
        (requests.exceptions.SSLError(), NetworkFailure.TLS),
        (requests.ConnectionError(MaxRetryError(Mock(), "/", NewConnectionError(Mock(), "x"))), NetworkFailure.CONNECT),
        (
            requests.ConnectionError(MaxRetryError(Mock(), "/", NameResolutionError("x", Mock(), socket.gaierror()))),
            NetworkFailure.NAME,
        ),
        (requests.ConnectionError(ProtocolError("x", OSError())), NetworkFailure.BROKEN),
        (requests.ConnectionError(), NetworkFailure.BROKEN),
        (ValueError("x"), NetworkFailure.BROKEN),
    ],
)
def test_a_failure_is_named_by_its_cause(error: Exception, failure: NetworkFailure) -> None:
    assert _failure(error) is failure


def test_a_redirect_is_returned_and_not_followed(transport: Transport, seen: list[dict[str, str]]) -> None:
    for exchange in (post(transport, "/redirect"), transport.get(SecretStr(transport.host + "/redirect"))):
        assert isinstance(exchange, HttpResponse)
        assert exchange.status == 307
    assert {request["path"] for request in seen} == {"/redirect"}


def test_a_redirect_to_what_is_no_address_is_returned(transport: Transport) -> None:
    exchange = post(transport, "/redirect_nowhere")
    assert isinstance(exchange, HttpResponse)
    assert exchange.status == 307


def test_a_reset_after_the_request_may_have_acted(transport: Transport) -> None:
    assert post(transport, "/reset") == NoResponse(True, "the connection broke")


def test_a_reused_connection_that_is_reset_may_have_acted(transport: Transport) -> None:
    post(transport, "/a")
    assert post(transport, "/reset") == NoResponse(True, "the connection broke")


def test_a_body_that_is_cut_off_is_kept_and_incomplete(transport: Transport) -> None:
    exchange = post(transport, "/cut")
    assert isinstance(exchange, HttpResponse)
    assert (exchange.body, exchange.complete) == (b'{"data"', False)


def test_a_chunked_body_is_read_whole(transport: Transport) -> None:
    exchange = post(transport, "/chunked")
    assert isinstance(exchange, HttpResponse)
    assert (exchange.body, exchange.complete) == (b'{"a": 1}', True)


def test_a_closed_port_was_not_written_to() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        transport = Transport(f"http://127.0.0.1:{bound.getsockname()[1]}", 5.0, 2)
        assert post(transport, "/a") == NoResponse(False, "could not connect")


def test_a_server_that_speaks_no_tls_was_not_written_to(transport: Transport) -> None:
    secure = Transport(transport.host.replace("http://", "https://"), 5.0, 2)
    exchange = post(secure, "/a")
    assert isinstance(exchange, NoResponse)
    assert not exchange.written
    assert "TLS" in exchange.reason


def test_a_server_that_never_answers_may_have_acted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = Transport(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2, 2)
        assert post(transport, "/a") == NoResponse(True, "timed out")


def test_a_name_that_does_not_resolve_was_not_written_to() -> None:
    assert post(Transport("https://api.invalid", 5.0, 2), "/a") == NoResponse(False, "the host's name does not resolve")


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the environment name a proxy for everything."""

    def name(address: str) -> None:
        for variable in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(variable, address)
        for variable in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)

    return name


def test_a_proxy_that_never_answers_may_have_passed_the_request_on(proxied: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxied(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert post(Transport("http://127.0.0.1:9", 0.2, 2), "/a") == NoResponse(True, "timed out")


def test_an_api_behind_a_proxy_that_breaks_off_may_have_acted(
    proxied: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.in_folder(tmp_path)
    authority.issue("api.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "api.test.pem", tmp_path / "api.test.key")
    received: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        """Open the tunnel that is asked for, and be the API at its end too, which reads a request and closes."""
        tunnel, _ = listening.accept()
        received.append(tunnel.recv(65536))
        tunnel.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with server.wrap_socket(tunnel, server_side=True) as secure:
            received.append(secure.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxied(f"http://127.0.0.1:{listening.getsockname()[1]}")
        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(serve, listening)
            assert post(Transport("https://api.test", 5.0, 2), "/a") == NoResponse(True, "the connection broke")
            served.result(5)
    assert received[0].startswith(b"CONNECT api.test:443 ")
    assert received[1].startswith(b"POST /a ")


def test_a_proxy_that_opens_no_tunnel_passed_nothing_on(proxied: Callable[[str], None]) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:  # noqa: N802
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            return

    with serving_handler(Refusing) as address:
        proxied(address)
        assert post(Transport("https://api.test", 5.0, 2), "/a") == NoResponse(False, "the proxy failed")


def test_an_endless_response_through_a_proxy_is_cut_off(proxied: Callable[[str], None]) -> None:
    class Endless(Handler):
        seen: list[dict[str, str]] = []  # noqa: RUF012

        def answer(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return

    with serving_handler(Endless) as address:
        proxied(address)
        exchange = post(Transport("http://127.0.0.1:9", 5.0, 2), "/a")
    assert isinstance(exchange, HttpResponse)
    assert not exchange.complete


@pytest.mark.parametrize("through_a_proxy", [False, True])
def test_no_address_that_holds_a_token_is_logged(
    transport: Transport,
    proxied: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    through_a_proxy: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    if through_a_proxy:
        proxied(transport.host)
    host = "http://127.0.0.1:9" if through_a_proxy else transport.host
    assert isinstance(transport.get(SecretStr(f"{host}/show?auth=Bearer+{'t' * 25}")), HttpResponse)
    lines = [record.getMessage() for record in caplog.records if record.name == "urllib3.connectionpool"]
    assert any('"GET ' in line for line in lines), "urllib3 logs what it requests"
    assert "t" * 25 not in "".join(lines)
