"""Checking the addresses that secrets and links are sent to, read from and shown at.

An address is parsed once, with the parser that ``requests`` and ``urllib3`` use, and what is returned is put together
from the parsed parts. So the host that was checked is the host that is connected to, whatever the text looked like.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from pme_airflow.errors import PMEInputError

__all__ = ["HttpUrl", "checked_base_url", "checked_report_url", "parse_http_url", "parse_without_query"]

_MAX_LENGTH = 2048
_TOKEN_SHAPE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{20,}")
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
#: What may follow the host: the characters of RFC 3986, so no backslash, space or control.
_REST = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*\Z", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z", re.ASCII)
#: A last label that some resolvers read as a part of an IPv4 address: decimal, octal or hexadecimal (WHATWG URL, 3.5).
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)\Z", re.ASCII)
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class HttpUrl:
    """A parsed http or https URL without userinfo.

    :param scheme: ``http`` or ``https``.
    :param host: the host in lower case and ASCII, or an IP address in its canonical form, IPv6 without brackets.
    :param port: the port, or ``None`` where it is the scheme's own.
    :param path: the path, percent-encoded; empty or beginning with a slash.
    :param query: the query without its question mark, or ``None``.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str | None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is ``localhost`` or an address of this machine's loopback interface."""
        return self.host == "localhost" or (_is_ip(self.host) and _is_loopback(ipaddress.ip_address(self.host)))

    @property
    def netloc(self) -> str:
        """The host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        query = "" if self.query is None else f"?{self.query}"
        return f"{self.scheme}://{self.netloc}{self.path}{query}"


def checked_base_url(text: str, *, field: str, allow_http: bool = False) -> str:
    """Check the base address of an API and return it with its scheme and without a trailing slash.

    Without a scheme it is https, or http for a loopback host. Plain http is refused for any other host, since it would
    send secrets and links in clear.

    :param text: the address as a user wrote it, such as ``api.matterport.com`` or ``https://cms.example.com/api``.
    :param field: the setting's name, for error messages.
    :param allow_http: whether plain http is accepted for any host, as a connection's extra ``allow_http`` asks.
    :raises PMEInputError: for anything else, and for an address with userinfo, a query or a fragment.
    """
    url = _parse_base(text.strip())
    if url is None or url.query is not None:
        raise PMEInputError(
            f"{field}: is not a base address of an API. Give one such as https://api.example.com, with a plain host "
            "name or IP address, and without credentials, query or fragment."
        )
    if url.scheme == "http" and not (allow_http or url.is_loopback):
        raise PMEInputError(
            f"{field}: plain http to {_shown(url.host)} would send secrets and links in clear. Use https://{_shown(url.netloc)}."
        )
    return str(url).rstrip("/")


def checked_report_url(text: str, allowed_hosts: Iterable[str], *, field: str = "findings") -> str:
    """Check the URL of a report and return the URL to request, without following redirects.

    :param text: the URL as a user gave it.
    :param allowed_hosts: the hosts that reports may be fetched from, each as ``host`` for any port or ``host:port``.
        Names are compared whole, not resolved: a private address is reached only where it is listed itself.
    :param field: the setting's name, for error messages.
    :raises PMEInputError: for a host that is not listed, for plain http to any host but loopback, and for a URL with
        userinfo.
    """
    url = parse_http_url(text)
    if url is None:
        raise PMEInputError(f"{field}: is not a URL that reports are fetched from. Give an https URL or a path.")
    port = url.port or _DEFAULT_PORTS[url.scheme]
    listed = [_parse_base(entry.strip()) for entry in allowed_hosts]
    allowed = {(entry.host, entry.port) for entry in listed if entry is not None}
    if (url.host, None) not in allowed and (url.host, port) not in allowed:
        raise PMEInputError(
            f"{field}: reports are not fetched from {_shown(url.netloc)}. Allow the host in the worker's environment "
            f"(PME_REPORT_HOSTS={_shown(url.netloc)}), or give a path."
        )
    if url.scheme == "http" and not url.is_loopback:
        raise PMEInputError(
            f"{field}: plain http to {_shown(url.host)} could be read on its way. Use https://{_shown(url.netloc)}."
        )
    return str(url)


def parse_http_url(text: str) -> HttpUrl | None:
    """Parse an http or https URL; ``None`` for anything that two parsers could read differently.

    That is a URL with userinfo, a zone id, escapes in its host, a backslash, a space or a control character; a host
    with a trailing dot, an empty label or another character than letters, digits, ``-`` and ``_``; and an IPv4 address
    in any form but four decimal numbers (``127.1``, ``0x7f000001``, ``2130706433``). A fragment is dropped.
    """
    scheme, separator, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not separator or len(text) > _MAX_LENGTH or not _REST.match(rest[len(authority) :]):
        return None
    if not all(sign.isalnum() or sign in "-._:[]" for sign in authority):
        return None
    try:
        parts = parse_url(text)
    except LocationParseError:
        return None
    host = _canonical_host(parts.host or "")
    if parts.scheme not in _DEFAULT_PORTS or scheme.lower() != parts.scheme or host is None or parts.port == 0:
        return None
    port = None if parts.port == _DEFAULT_PORTS[parts.scheme] else parts.port
    return HttpUrl(parts.scheme, host, port, parts.path or "", parts.query)


def parse_without_query(text: str) -> HttpUrl | None:
    """Parse what :func:`parse_http_url` parses, and leave the query out of it: ``None`` for the same texts.

    The links of one API differ in their query alone, so what precedes it is parsed once: that takes 20 µs.
    """
    address, _, query = text.partition("?")
    return _parse_cached(address) if len(text) <= _MAX_LENGTH and _REST.match(query) else None


def _parse_base(text: str) -> HttpUrl | None:
    """Parse a base address, also without a scheme; ``None`` where it is none."""
    if "#" in text:
        return None
    if _HAS_SCHEME.match(text):
        return parse_http_url(text)
    url = parse_http_url(f"https://{text}")
    return parse_http_url(f"http://{text}") if url is not None and url.is_loopback else url


@lru_cache(maxsize=64)
def _parse_cached(text: str) -> HttpUrl | None:
    return parse_http_url(text)


def _shown(host: str) -> str:
    """Return a host for an error message; a part with the shape of a token is masked, for it may have been pasted."""
    return _TOKEN_SHAPE.sub("***", host)


def _canonical_host(host: str) -> str | None:
    """Return a host in its canonical form, or ``None`` where it is neither a name nor an address."""
    if host.startswith("["):
        return _canonical_ip(host[1:-1]) if ":" in host else None
    labels = host.split(".")
    if _NUMBER.match(labels[-1]):
        return _canonical_ip(host)
    return host if len(host) <= 253 and all(_LABEL.match(label) for label in labels) else None


def _canonical_ip(text: str) -> str | None:
    return str(ipaddress.ip_address(text)) if _is_ip(text) else None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
