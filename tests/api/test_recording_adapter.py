"""Requests that are written without ``http.client``: the same bytes, the same refusals, and connections used again."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import ClassVar
from unittest.mock import Mock

import pytest
import requests
import urllib3

from pme_airflow.api.outcomes import HttpResponse, NoResponse
from pme_airflow.api.recording_adapter import _RecordingHTTP, was_written
from pme_airflow.api.transport import Transport
from pme_airflow.secrets import SecretStr
from tests.api.test_transport import Handler
from tests.support.handlers import serving_handler

HEADERS = {"Host": "api.test", "User-Agent": "test", "Accept-Encoding": "gzip", "Content-Length": "4"}


def written(url: str = "/a", body: object = b"body", **headers: object) -> bytes:
    """What a connection writes for a POST."""
    sent: list[bytes] = []
    connection = _RecordingHTTP("api.test")
    connection.sock = Mock(sendall=sent.append)
    connection.request("POST", url, body=body, headers={**HEADERS, **headers})  # type: ignore[arg-type]
    return b"".join(sent)


def test_a_request_of_the_usual_form_is_written_as_http_client_writes_it() -> None:
    usual = written(Authorization="Bearer app")
    by_the_book = written(Authorization=b"Bearer app")  # bytes are left to http.client
    assert usual == by_the_book
    assert usual.endswith(b"Authorization: Bearer app\r\n\r\nbody")


@pytest.mark.parametrize("value", ["app\r\nX: y", "app\nX: y", "app\r"])
def test_a_header_with_a_line_break_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="Invalid header value"):
        written(Authorization=value)


def test_a_header_outside_of_ascii_is_left_to_http_client() -> None:
    assert b"Authorization: Bearer \xe9\r\n" in written(Authorization="Bearer é")


@pytest.fixture
def closing() -> type[Handler]:
    class Closing(Handler):
        seen: ClassVar[list[dict[str, str]]] = []
        ports: ClassVar[list[int]] = []

        def answer(self) -> None:
            self.ports.append(self.client_address[1])
            super().answer()

        def answer_close(self) -> None:
            self.close_connection = True
            self._send(200, b"{}", Connection="close")

    return Closing


def posting(transport: Transport) -> Callable[[str], HttpResponse | NoResponse]:
    return lambda path: transport.post_json(path, SecretStr("{}"), SecretStr("app"))


def test_a_connection_is_used_again_and_another_one_after_it_was_closed(closing: type[Handler]) -> None:
    with serving_handler(closing) as address:
        transport = Transport(address, 5.0, 2)
        post = posting(transport)
        bodies = [post(path) for path in ("/a", "/a", "/close", "/a", "/cut", "/a")]
        transport.close()
    first, second, third, fourth = closing.ports  # type: ignore[attr-defined]
    assert first == second
    assert len({first, third, fourth}) == 3
    assert [isinstance(b, HttpResponse) and b.complete for b in bodies] == [True, True, True, True, False, True]
    assert {request["Host"] for request in closing.seen} == {address.removeprefix("http://")}


def test_an_adapter_that_a_user_mounts_gets_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:  # type: ignore[override]
            assert request.headers["authorization"] == "Bearer app"
            response = requests.Response()
            response.status_code = 503
            response.raw = urllib3.HTTPResponse(BytesIO(b"busy"), status=503, preload_content=False)
            return response

        def close(self) -> None:
            return

    session = requests.Session()
    transport = Transport("https://api.test", 5.0, 2, session)
    session.mount("https://", Fixed())
    exchange = posting(transport)("/a")
    assert isinstance(exchange, HttpResponse)
    assert (exchange.status, exchange.body) == (503, b"busy")
    assert was_written() is None
