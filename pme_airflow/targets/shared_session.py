"""Makes a session of ``requests`` usable by several threads at once."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookiejar import Cookie

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

__all__ = ["share_session"]


class _SharedCookies(RequestsCookieJar):
    """Cookies that can be read while another thread takes some out: all but the iteration is locked already."""

    def __iter__(self) -> Iterator[Cookie]:  # type: ignore[override]
        with self._cookies_lock:  # type: ignore[attr-defined]
            return iter(list(super().__iter__()))


def share_session(session: requests.Session, threads: int) -> None:
    """Let a number of threads use a session at the same time, each over a connection of its own.

    ``requests`` copies the session's cookies for each request, which fails when another thread's response takes one
    out meanwhile; and it keeps 10 connections to a host, so that every further one is closed after each request.
    """
    if type(session.cookies) is RequestsCookieJar:
        shared = _SharedCookies(session.cookies.get_policy())
        shared.update(session.cookies)
        session.cookies = shared
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            pool = adapter.poolmanager.connection_pool_kw
            pool["maxsize"] = max(threads, int(pool.get("maxsize") or 0))
