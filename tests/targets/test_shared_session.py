"""A session that several threads use at the same time."""

from __future__ import annotations

import threading
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter

from pme_airflow.errors import SlotError
from pme_airflow.targets.shared_session import share_session
from pme_airflow.targets.web import WebApi
from tests.support.web import Received, Reply, serving_web


def test_cookies_that_are_being_copied_are_those_of_one_moment() -> None:
    """Else a request is sent with half of another thread's, or, before Python 3.12, fails."""
    session = requests.Session()
    session.cookies.set("session", "1", domain="a.example.com")
    plain = session.cookies.copy()
    share_session(session, 4)
    for jar, copied in ((plain, 2), (session.cookies, 1)):
        copying = iter(jar)
        jar.set("session", "1", domain="z.example.com")
        assert len(list(copying)) == copied


def test_a_policy_and_cookies_of_the_sessions_own_are_kept() -> None:
    session = requests.Session()
    session.cookies.set_policy(policy := DefaultCookiePolicy(allowed_domains=[]))
    share_session(session, 4)
    assert session.cookies.get_policy() is policy
    shared = session.cookies
    share_session(session, 4)
    assert session.cookies is shared


def test_each_thread_has_a_connection_that_it_keeps() -> None:
    session = requests.Session()
    share_session(session, 24)
    adapter = session.get_adapter("https://cms.example.com")
    assert isinstance(adapter, HTTPAdapter)
    assert adapter.poolmanager.connection_from_url("https://cms.example.com").pool.maxsize == 24  # type: ignore[union-attr]


def test_threads_that_write_at_once_use_connections_of_their_own_and_keep_them() -> None:
    together = threading.Barrier(4)

    def reply(request: Received) -> Reply:
        together.wait(30)
        return Reply()

    def accept(response: requests.Response) -> SlotError | None:
        return None

    with serving_web() as server:
        server.reply = reply
        api = WebApi(requests.Session(), server.address, 10, 4)

        def write() -> None:
            for number in range(3):
                api.request("PATCH", f"x/{number}", accept, body={})

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.received) == 12
    assert len({request.client for request in server.received}) == 4
