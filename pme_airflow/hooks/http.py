"""Sessions for Airflow's HTTP connections."""

from __future__ import annotations

import requests

__all__ = ["http_session"]


def http_session(conn_id: str) -> tuple[requests.Session, str]:
    """Return a session with an HTTP connection's credentials and headers, and its base address."""
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(http_conn_id=conn_id)
    session = hook.get_conn()
    return session, str(hook.base_url)
