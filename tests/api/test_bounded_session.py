"""A session of requests reads its responses within the bounds of its thread, and never where a redirect leads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPSConnection

from pme_airflow.api.bounded import BoundedHTTPResponse, bound_response
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


def test_a_response_through_a_proxy_is_bounded_too(address: str) -> None:
    through = {"http": address}
    with requests.Session() as session:
        bound_response(60.0)
        session.get("http://site.test/before", proxies=through, timeout=30)
        for _ in range(2):  # a session may be bound again
            bound_session(session)
        assert session.get("http://site.test/", proxies=through, timeout=30).content == b"x" * 10
        bound_response(60.0, -1024 * 1024)
        with pytest.raises(requests.RequestException, match="too long"):
            session.get("http://site.test/other", proxies=through, timeout=30)


def test_the_connections_of_a_socks_proxy_stay_what_they_are_and_are_bounded() -> None:
    class SocksConnection(HTTPSConnection):
        pass

    class SocksPool(HTTPSConnectionPool):
        ConnectionCls = SocksConnection

    class Adapter(HTTPAdapter):
        def proxy_manager_for(self, proxy: str, **_: object) -> PoolManager:
            manager = PoolManager()
            manager.pool_classes_by_scheme = {"https": SocksPool}
            return self.proxy_manager.setdefault(proxy, manager)

    with requests.Session() as session:
        session.mount("https://", Adapter())
        bound_session(session)
        adapter = session.get_adapter("https://x.test")
        assert isinstance(adapter, HTTPAdapter)
        connection = adapter.proxy_manager_for("socks5://p").pool_classes_by_scheme["https"].ConnectionCls
    assert issubclass(connection, SocksConnection)
    assert connection.response_class is BoundedHTTPResponse


def test_a_bound_session_logs_no_path_and_another_one_does(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with requests.Session() as bound, requests.Session() as other:
        bound_session(bound)
        bound_response(60.0)
        bound.get(f"{address}/secret?token=1", timeout=30)
        other.get(f"{address}/plain", timeout=30)
    lines = [record.getMessage() for record in caplog.records if '"GET ' in record.getMessage()]
    assert [("secret" in line, "plain" in line) for line in lines] == [(False, False), (False, True)]
