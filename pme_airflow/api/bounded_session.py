"""Sessions of ``requests`` whose responses are read within bounds, and whose addresses stay out of the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connectionpool import HTTPConnectionPool

from pme_airflow.api.bounded import BoundedHTTPResponse

__all__ = ["BoundedConnection", "bound_adapter", "bound_session", "ignore_redirects"]

_hiding = threading.local()


class BoundedConnection:
    """Mixed into a connection: its responses are read within the bounds of the thread."""

    response_class = BoundedHTTPResponse


def bound_session(session: requests.Session) -> None:
    """Make a session read its responses within the bounds of its thread, and log no path that it requests.

    Its adapters keep their other settings. The bounds are those of the last
    :func:`~pme_airflow.api.bounded.bound_response` in the thread.
    """
    ignore_redirects(session)
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            bound_adapter(adapter)


def bound_adapter(adapter: HTTPAdapter, connection: type[BoundedConnection] = BoundedConnection) -> None:
    """Make an adapter read its responses within the bounds of its thread, and log no path that it requests.

    :param connection: what is mixed into its connections.
    """
    _mix_into_connections(adapter, connection)
    _hide_addresses(adapter)


def _hide_addresses(adapter: HTTPAdapter) -> None:
    send = adapter.send

    @wraps(send)
    def send_hidden(*args: Any, **options: Any) -> requests.Response:
        with _hidden_addresses():
            return send(*args, **options)

    adapter.send = send_hidden  # type: ignore[method-assign]


@contextmanager
def _hidden_addresses() -> Iterator[None]:
    """Keep the paths and queries that this thread requests out of the log: they may hold a token.

    ``urllib3`` writes each of them at level DEBUG, before anybody could mask it.
    """
    before = getattr(_hiding, "on", False)
    _hiding.on = True
    try:
        yield
    finally:
        _hiding.on = before


class _AddressFilter(logging.Filter):
    """Replaces paths in the records of a thread that hides them."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(_hiding, "on", False) and isinstance(record.args, tuple):
            record.args = tuple("/…" if _is_address(arg) else arg for arg in record.args)
        return True


def _is_address(value: object) -> bool:
    """Return whether a value is a path, or the whole address that a proxy is asked for."""
    return isinstance(value, str) and (value.startswith("/") or "://" in value)


logging.getLogger("urllib3.connectionpool").addFilter(_AddressFilter())


def _mix_into_connections(adapter: HTTPAdapter, mixin: type) -> None:
    """Mix a class into all connections that an adapter makes from now on: direct ones, and those through a proxy.

    Idle connections that it has are closed. ``requests`` keeps a pool manager for each proxy, and makes it when the
    proxy is first used.
    """
    for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
        _mix_into_pools(manager, mixin)
    manager_for = adapter.proxy_manager_for

    @wraps(manager_for)
    def mixed_manager_for(proxy: str, **options: Any) -> PoolManager:
        is_new = proxy not in adapter.proxy_manager
        manager: PoolManager = manager_for(proxy, **options)
        if is_new:
            _mix_into_pools(manager, mixin)
        return manager

    adapter.proxy_manager_for = mixed_manager_for  # type: ignore[method-assign]


def _mix_into_pools(manager: PoolManager, mixin: type) -> None:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _mixed_pool(pool, mixin) for scheme, pool in pools.items()}
    manager.clear()


@cache
def _mixed_pool(pool: type[HTTPConnectionPool], mixin: type) -> type[HTTPConnectionPool]:
    """Return a class of pools like another, SOCKS proxies' among them, whose connections have a class mixed in."""
    made = pool.ConnectionCls
    if issubclass(made, mixin):
        return pool
    connection = type(f"{mixin.__name__}{made.__name__}", (mixin, made), {})
    return type(f"{mixin.__name__}{pool.__name__}", (pool,), {"ConnectionCls": connection})


def ignore_redirects(session: requests.Session) -> None:
    """Keep a session from reading where a redirect leads.

    ``requests`` reads ``Location`` also where redirects are not followed, and raises ``UnicodeDecodeError`` or
    ``ValueError`` for one that is no address.
    """
    session.get_redirect_target = lambda response: None  # type: ignore[method-assign, assignment]
