"""Sessions of ``requests`` whose responses are read within bounds of time and size."""

from __future__ import annotations

from functools import cache, wraps
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connectionpool import HTTPConnectionPool

from pme_airflow.api.bounded import BoundedHTTPResponse

__all__ = ["BoundedConnection", "bound_session", "ignore_redirects", "mix_into_connections"]


class BoundedConnection:
    """Mixed into a connection: its responses are read within the bounds of the thread."""

    response_class = BoundedHTTPResponse


def bound_session(session: requests.Session) -> None:
    """Make a session read its responses within the bounds of its thread. Its adapters keep their other settings.

    The bounds are those of the last :func:`~pme_airflow.api.bounded.bound_response` in the thread.
    """
    ignore_redirects(session)
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            mix_into_connections(adapter, BoundedConnection)


def mix_into_connections(adapter: HTTPAdapter, mixin: type) -> None:
    """Mix a class into all connections that an adapter makes from now on: direct ones, and those through a proxy.

    Idle connections that it has are closed. ``requests`` keeps a pool manager for each proxy beside the one for direct connections, and makes it when the proxy
    is first used.
    """
    for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
        _mix_into_pools(manager, mixin)
    manager_for = adapter.proxy_manager_for

    @wraps(manager_for)
    def mixed_manager_for(proxy: str, **options: Any) -> PoolManager:
        is_new = proxy not in adapter.proxy_manager
        manager = manager_for(proxy, **options)
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
