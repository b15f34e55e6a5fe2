"""Finding the tokens of private links in text, however the text was encoded on its way."""

from __future__ import annotations

import html
import quopri
import re
from urllib.parse import unquote

__all__ = ["decodings", "tokens_in"]

#: A token after ``Bearer``, with whatever a URL, a header or an escape puts between the two.
_BEARER = re.compile(r"Bearer(?:\+|\s|%20|%2B|&#43;|\\u002b|=20|&nbsp;)+([A-Za-z0-9._~-]{8,512})", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,512}\Z", re.ASCII)
_SOFT_BREAK = re.compile(r"=\r?\n")
_MAX_CHARACTERS = 1_000_000


def decodings(text: str) -> list[str]:
    """Return a text and its decodings: percent-decoded (twice), without HTML and quoted-printable escapes."""
    decoded = [text]
    joined = _SOFT_BREAK.sub("", text)
    decoded.append(joined)
    if "=3D" in joined or "=20" in joined or "=2B" in joined:
        decoded.append(quopri.decodestring(joined.encode("utf-8", "replace")).decode("utf-8", "replace"))
    for form in list(decoded):
        unescaped = html.unescape(html.unescape(form))
        once = unquote(unescaped)
        decoded += [unescaped, once, unquote(once)]
    return list(dict.fromkeys(decoded))


def tokens_in(text: str, *, bare: bool = False) -> list[str]:
    """Return the tokens that follow ``Bearer`` in a text, in any encoding, each once.

    :param bare: whether a text that is nothing but one word counts as a token.
    """
    stripped = text.strip().strip("<>\"'`")
    if bare and _TOKEN.match(stripped) and "://" not in stripped:
        return [stripped]
    found: dict[str, None] = {}
    for form in decodings(text[:_MAX_CHARACTERS]):
        found.update((match[1], None) for match in _BEARER.finditer(form))
    return list(found)
