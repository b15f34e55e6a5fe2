"""Keep foreign pages away from a stand-in: it serves this machine's own programs and its own pages alone.

A browser sends requests for any page it shows to 127.0.0.1 too. Two checks stop what such a page could do:

* **DNS rebinding**: a foreign host name that resolves to 127.0.0.1 is refused by the ``Host`` header (421).
* **Cross-site requests**: a request of a page from another origin is refused by its ``Origin`` header (403).

The port of the ``Host`` header is not compared, so that a forwarded port works.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LoopbackOnly"]

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:]+)\]|(?P<name>[^:\[\]@/\s]+))(?::\d{1,5})?", re.IGNORECASE | re.ASCII)
#: Scripts without secrets that pages of any origin load, as they load the vendor's.
_PUBLIC = "/showcase/"
#: Paths that no page of another site may even link to; the fetch metadata of the browser says which site asks.
_CONTROL = "/_emulator/"


class LoopbackOnly:
    """An ASGI middleware that refuses foreign ``Host`` and ``Origin`` headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = _refusal(str(scope["path"]), Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send)


def _refusal(path: str, headers: Headers) -> PlainTextResponse | None:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_loopback(hosts[0]):
        return PlainTextResponse("This server answers to localhost and loopback addresses alone.\n", 421)
    if path.startswith(_PUBLIC):
        return None
    own = {f"http://{hosts[0]}".lower(), f"https://{hosts[0]}".lower()}
    foreign = any(origin.lower() not in own for origin in headers.getlist("origin"))
    if path.startswith(_CONTROL):
        foreign = foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return PlainTextResponse("Pages of another origin may not use this server.\n", 403) if foreign else None


def _is_loopback(host: str) -> bool:
    """Return whether a ``Host`` header names this machine: ``localhost``, an address of 127.0.0.0/8, or ``[::1]``."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    if match["name"] and match["name"].lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(match["v6"] or match["name"])
    except ValueError:
        return False
    return address.is_loopback and (address.version == 6) == bool(match["v6"])
