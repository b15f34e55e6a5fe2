"""Checking the network addresses that secrets are sent to."""

from __future__ import annotations

from urllib.parse import urlsplit

from pme_airflow.errors import PMEInputError

__all__ = ["checked_host"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def checked_host(host: str) -> str:
    """Return the API's base address with its scheme and without a trailing slash.

    :raises PMEInputError: for an address that is no http(s) base, holds credentials, or is plain http and not loopback.
    """
    text = host.strip()
    text = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(text)
        name, _ = parts.hostname, parts.port
    except ValueError:
        name = None
    if not name or parts.scheme not in ("http", "https") or parts.username or parts.query or parts.fragment:
        raise PMEInputError(
            "host: is not a base address of an API. Give one such as https://api.matterport.com, without credentials, "
            "query or fragment."
        )
    loopback = name in _LOOPBACK or name.startswith("127.")
    if parts.scheme == "http" and not loopback:
        raise PMEInputError(f"host: plain http to {name} would send the client secret in clear. Use https://{name}.")
    return text.rstrip("/")
