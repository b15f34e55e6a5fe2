"""A token that leaked, and the encodings in which it is found."""

from __future__ import annotations

import base64
import html
import json
import quopri
import textwrap
from collections.abc import Callable, Mapping
from urllib.parse import quote

from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"
FINGERPRINT = fingerprint(AccessToken(TOKEN))


def link(token: str = TOKEN) -> str:
    return f"https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+{token}"


ENCODINGS: Mapping[str, Callable[[str], bytes]] = {
    "bare": lambda token: token.encode(),
    "link": lambda token: link(token).encode(),
    "header": lambda token: f"Authorization: Bearer {token}".encode(),
    "percent": lambda token: f"auth=Bearer%20{token}&x=1".encode(),
    "percent twice": lambda token: quote(quote(link(token), safe=""), safe="").encode(),
    "html": lambda token: html.escape(f'<iframe src="{link(token)}">').encode(),
    "slack": lambda token: f"<{link(token)}|the space>".encode(),
    "quoted-printable": lambda token: quopri.encodestring(("x" * 30 + link(token)).encode()),
    "json": lambda token: json.dumps(json.dumps({"url": link(token)})).encode(),
    "base64": lambda token: base64.b64encode(b"x" + link(token).encode()),
    "base64 wrapped": lambda token: "\n".join(textwrap.wrap(base64.b64encode(link(token).encode()).decode(), 76)).encode(),
    "utf-16": lambda token: link(token).encode("utf-16"),
}  # fmt: skip
