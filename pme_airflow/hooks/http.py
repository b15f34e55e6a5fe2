"""Sessions for Airflow's HTTP connections, whose addresses are checked before anything is sent to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from pme_airflow.addresses import checked_base_url, parse_http_url
from pme_airflow.errors import PMEInputError
from pme_airflow.secrets import SecretStr

__all__ = [
    "ALLOW_HTTP",
    "HttpCredentials",
    "allows_http",
    "base_url_of",
    "checked_address",
    "http_credentials",
    "http_session",
]

#: The key in a connection's Extra that accepts plain http for a host that is not this machine.
ALLOW_HTTP = "allow_http"
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class HttpCredentials:
    """The login and password of an HTTP connection."""

    login: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))


def http_credentials(conn_id: str) -> HttpCredentials:
    """Return the login and password of an HTTP connection; a task's log masks the password."""
    from airflow.sdk import BaseHook

    connection = BaseHook.get_connection(conn_id)
    return HttpCredentials(connection.login or "", SecretStr(connection.password or ""))


def http_session(conn_id: str) -> tuple[requests.Session, str]:
    """Return a session with an HTTP connection's credentials and headers, and its base address.

    :raises PMEInputError: for an address that is no http(s) base, or plain http to a host that is not this machine.
    """
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(http_conn_id=conn_id)
    base_url = base_url_of(hook.get_connection(conn_id))
    session = hook.get_conn()
    verify = str(session.verify).strip().lower()
    if verify in ("true", "false"):  # as text where the connection is defined by a URI
        session.verify = verify == "true"
    session.headers.pop(ALLOW_HTTP, None)  # the provider sends every key of Extra that it does not know as a header
    return session, base_url


def base_url_of(connection: Any) -> str:
    """Return the base address of an HTTP connection, with its scheme and port, and without a trailing slash.

    Without a scheme it is https; or http if the host is this machine, or Extra has ``allow_http``.

    :raises PMEInputError: as :func:`http_session` does.
    """
    field = f"connection {connection.conn_id}, Host"
    host = str(connection.host or "").strip()
    extra = connection.extra_dejson
    if not host:
        raise PMEInputError(f"{field}: is empty. Enter the address, such as https://cms.example.com.")
    if "://" not in host and connection.schema in _DEFAULT_PORTS:
        host = f"{connection.schema}://{host}"
    elif "://" not in host and allows_http(connection.conn_id, extra):
        host = f"http://{host}"
    return _with_port(checked_address(host, field, connection.conn_id, extra), connection.port, field)


def checked_address(address: str, field: str, conn_id: str | None, extra: Mapping[str, Any]) -> str:
    """Check an address that a connection names, and return it with its scheme.

    :param field: where the address stands, for error messages.
    :param extra: the connection's Extra.
    :raises PMEInputError: for an address that is no http(s) base, or plain http to a host that is not this machine.
    """
    url = parse_http_url(address)
    # an unspecified address leads to this machine as well: test servers are often named by it
    allow_http = allows_http(conn_id, extra) or (url is not None and url.host in ("0.0.0.0", "[::]", "::"))  # noqa: S104
    if url is not None and url.scheme == "http" and not (allow_http or url.is_loopback):
        raise PMEInputError(
            f"{field}: plain http to {url.host} would send links and credentials in clear. Use https://{url.netloc}. "
            f'If the network can be trusted, put {{"{ALLOW_HTTP}": true}} into Extra.'
        )
    return checked_base_url(address, field=field, allow_http=allow_http)


def _with_port(base_url: str, port: Any, field: str) -> str:
    """Return an address with the port that a connection has in its own field."""
    parts = urlsplit(base_url)
    if not port or int(port) == (parts.port or _DEFAULT_PORTS[parts.scheme]):
        return base_url
    if parts.port is not None:
        raise PMEInputError(f"{field}: has port {parts.port}, but Port is {port}. Remove one of them.")
    return urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))


def allows_http(conn_id: str | None, extra: Mapping[str, Any]) -> bool:
    """Return whether a connection's Extra accepts plain http for a host that is not this machine.

    :raises PMEInputError: if the value is neither true nor false.
    """
    value = extra.get(ALLOW_HTTP, False)
    text = str(value).strip().lower()
    if text not in ("true", "false", ""):
        raise PMEInputError(f"connection {conn_id}, Extra: {ALLOW_HTTP} must be true or false.")
    return text == "true"
