"""Sessions of ``requests`` whose responses are read within bounds of time and size."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pme_airflow.api.bounded import BoundedHTTPResponse

__all__ = ["bound_session", "ignore_redirects"]


class _BoundedHTTP(HTTPConnection):
    response_class = BoundedHTTPResponse


class _BoundedHTTPS(HTTPSConnection):
    response_class = BoundedHTTPResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _BoundedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPS


def bound_session(session: requests.Session) -> None:
    """Make a session read its responses within the bounds of its thread. Its adapters keep their other settings.

    The bounds are those of the last :func:`~pme_airflow.api.bounded.bound_response` in the thread.
    """
    ignore_redirects(session)
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            adapter.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def ignore_redirects(session: requests.Session) -> None:
    """Keep a session from reading where a redirect leads.

    ``requests`` reads ``Location`` also where redirects are not followed, and raises ``UnicodeDecodeError`` or
    ``ValueError`` for one that is no address.
    """
    session.get_redirect_target = lambda response: None  # type: ignore[method-assign, assignment]
