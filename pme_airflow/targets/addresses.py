"""Check the addresses that readers open: only https, so that none runs a script or sends a token in clear."""

from __future__ import annotations

import re

from pme_airflow.addresses import HttpUrl, parse_http_url
from pme_airflow.errors import PMEInputError, SlotError

__all__ = ["checked_link", "checked_sdk_url"]

#: A path on the page's own server: no scheme, no other host, no backslash, which browsers read as a slash.
_PATH = re.compile(r"(?!//)[A-Za-z0-9._~/%@?&=+-]+\Z")


def checked_link(link: str) -> HttpUrl:
    """Return the parts of a link that readers open: https, or http to this machine.

    :raises SlotError: for anything else, without the link.
    """
    url = parse_http_url(link)
    if url is None or (url.scheme != "https" and not url.is_loopback):
        raise SlotError("the link is not an https address; it is not shown. Check the API that it was minted by")
    return url


def checked_sdk_url(sdk_url: str) -> str:
    """Return the address of the SDK: https, http to this machine, or a path on the page's own server.

    :raises PMEInputError: for anything else.
    """
    url = parse_http_url(sdk_url)
    secure = url is not None and (url.scheme == "https" or url.is_loopback)
    if sdk_url and not secure and not _PATH.match(sdk_url):
        raise PMEInputError("sdk_url: is neither an https address nor a path such as /sdk/index.esm.js.")
    return sdk_url
