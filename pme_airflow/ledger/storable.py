"""Makes text from outside storable: reasons, names and runs are kept whatever they hold, and never break a write."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, Dialect, String, TypeDecorator

__all__ = ["ASCII_ONLY", "StorableJSON", "StorableString", "storable", "storable_json"]

#: The attribute of a dialect that says its database cannot store every character; see :func:`~.engines.tuned`.
ASCII_ONLY = "pme_ascii_only"
_DIGEST = 16
#: How much of a long text's end is kept: it is where a run's map index stands, and where an error gives its cause.
_TAIL = 80
#: U+0000, which PostgreSQL's text cannot hold, and lone surrogates, which no encoding can.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str, length: int, *, ascii_only: bool = False) -> str:
    """Return a text that every database can store, and that is at most so many characters long.

    A text that is too long keeps its beginning and, where there is room, its end; a digest of the whole stands between
    them, so that two texts stay different.
    """
    clean = _UNSTORABLE.sub("\ufffd", text)
    if ascii_only:
        clean = clean.encode("ascii", "backslashreplace").decode()
    if len(clean) <= length:
        return clean
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    tail = clean[-_TAIL:] if length >= 4 * _TAIL else ""
    middle = f"~{digest}~" if tail else f"~{digest}"
    return clean[: length - len(middle) - len(tail)] + middle + tail


def storable_json(value: Any, *, ascii_only: bool = False) -> Any:
    """Return JSON whose strings every database can store."""
    if isinstance(value, str):
        return storable(value, len(value) * 12, ascii_only=ascii_only)
    if isinstance(value, dict):
        keys = (storable_json(str(key), ascii_only=ascii_only) for key in value)
        return dict(zip(keys, storable_json(list(value.values()), ascii_only=ascii_only), strict=True))
    if isinstance(value, list | tuple):
        return [storable_json(item, ascii_only=ascii_only) for item in value]
    return value


class StorableString(TypeDecorator[str]):
    """A string of limited length; what is stored, and what it is compared with, is made storable alike."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None]:
        length = self.length

        def process(value: str | None) -> str | None:
            if value is None:
                return None
            text = value if isinstance(value, str) else str(value)
            if text.isascii() and len(text) <= length and "\0" not in text:  # nearly all: ids, states, fingerprints
                return text
            return storable(text, length, ascii_only=getattr(dialect, ASCII_ONLY, False))

        return process


class StorableJSON(TypeDecorator[Any]):
    """JSON whose strings are made storable."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return storable_json(value, ascii_only=getattr(dialect, ASCII_ONLY, False))
