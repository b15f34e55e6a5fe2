"""A session of requests reads its responses within the bounds of its thread, and never where a redirect leads."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
import requests
from requests.adapters import BaseAdapter

from pme_airflow.api.bounded import bound_response
from pme_airflow.api.bounded_session import bound_session, ignore_redirects
from tests.support.handlers import serving_handler


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        redirects = self.path == "/redirect"
        self.send_response(307 if redirects else 200)
        if redirects:
            self.send_header("Location", "https://xn--\u00e9/")
        self.end_headers()
        self.wfile.write(b"x" * 10)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving_handler(Handler) as served:
        yield served


def test_a_response_longer_than_the_bounds_of_its_thread_is_not_read(address: str) -> None:
    with requests.Session() as session:
        bound_session(session)
        bound_response(60.0)
        assert session.get(address, timeout=30).content == b"x" * 10
        bound_response(60.0, -1024 * 1024)
        with pytest.raises(requests.RequestException, match="too long"):
            session.get(address, timeout=30)


@pytest.mark.parametrize("make", [bound_session, ignore_redirects])
def test_a_redirect_to_what_is_no_address_is_returned(address: str, make: object) -> None:
    with requests.Session() as session:
        assert callable(make)
        make(session)
        bound_response(60.0)
        assert session.get(f"{address}/redirect", timeout=30, allow_redirects=False).status_code == 307


def test_an_adapter_of_another_kind_is_left_as_it_is() -> None:
    class Adapter(BaseAdapter):
        def close(self) -> None:
            return

    with requests.Session() as session:
        adapter = Adapter()
        session.mount("test://", adapter)
        bound_session(session)
    assert vars(adapter) == {}
