"""Bounds of a target's responses: their time in all, and their size in memory once decompressed."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pme_airflow.api.bounded import BoundedHTTPResponse, read_body
from pme_airflow.errors import SlotError

__all__ = ["MAX_BODY", "bound_session", "read_response"]

#: The longest body in bytes: some 100 revisions of a page of 80 kB.
MAX_BODY = 8 * 1024 * 1024
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class _BoundedHTTP(HTTPConnection):
    response_class = BoundedHTTPResponse


class _BoundedHTTPS(HTTPSConnection):
    response_class = BoundedHTTPResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _BoundedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPS


def bound_session(session: requests.Session) -> None:
    """Let a session read its responses within the bounds of its thread. Its adapters keep their other settings."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            adapter.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def read_response(response: requests.Response) -> bool:
    """Read the body of a streamed response, so that ``content``, ``text`` and ``json()`` give it.

    :return: whether it is whole; false where the connection broke, or took too long.
    :raises SlotError: if it is longer than :data:`MAX_BODY`, or encoded in a way that was not asked for.
    """
    if isinstance(response._content, bytes) or response.raw is None:
        return True  # it has been read already
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        response.close()
        raise SlotError("the response has a Content-Encoding that was not asked for. Check the address")
    body, whole = read_body(response.raw, MAX_BODY)
    response.close()
    if not whole and len(body) == MAX_BODY:
        raise SlotError(f"the response is longer than {MAX_BODY // 1024 // 1024} MiB. Check the address")
    response._content = body
    response._content_consumed = True  # type: ignore[attr-defined]
    response.encoding = response.encoding or "utf-8"  # to guess it takes seconds for a large body
    return whole
