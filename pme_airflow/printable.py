"""Making text from outside safe to print, to log, and to put into a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MAX_PRINTED_CHARACTERS", "csv_cell", "plain_names", "printable", "shape_of"]

#: Longer texts are cut when they are printed.
MAX_PRINTED_CHARACTERS = 1000

#: Characters that ``str.isprintable`` refuses and that are harmless: spaces other than ASCII's, except the two line
#: separators, and the two joiners, which emoji and Persian need.
_HARMLESS = frozenset("\u00a0\u1680\u202f\u205f\u3000\u200c\u200d" + "".join(map(chr, range(0x2000, 0x200B))))
#: First characters that make a spreadsheet take a cell for a formula, also in full width; spaces, tabs and line breaks
#: before one are skipped by some.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_PLAIN_NAME = re.compile(r"[A-Za-z_.-]{1,40}")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?\Z", re.ASCII)


def printable(text: object, limit: int | None = MAX_PRINTED_CHARACTERS) -> str:
    r"""Return a text as one line that a terminal, a log and a person read alike.

    Control characters, line breaks, escape sequences, bidirectional controls, lone surrogates and what has no glyph
    are written as ``\x1b``, ``\n`` or ``\u202e``.

    :param limit: longer texts are cut, with ``…`` at the end; ``None`` cuts nothing.
    """
    text = str(text)
    cut = limit is not None and len(text) > limit
    if cut:
        text = text[: max(0, (limit or 0) - 1)]
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return f"{text}…" if cut else text


def plain_names(names: Iterable[object]) -> str:
    """Return names of settings for an error message; one that is no plain word may be a secret, and is not shown."""
    plain = [name for name in map(str, names) if _PLAIN_NAME.fullmatch(name)]
    return ", ".join(plain) or "a name that is not shown here"


def shape_of(value: object) -> str:
    """Return a description of a value of JSON for an error message, without a text that may be a secret."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if abs(value) < 1e15 else "a number that is too large"
    if isinstance(value, str):
        return f"{len(value)} characters of text"
    return {"NoneType": "nothing", "dict": "an object", "list": "a list", "bool": "true or false"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )


def csv_cell(value: object) -> object:
    """Return a value for a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = printable(value, None)
    is_formula = bool(_FORMULA & {value[:1], value.lstrip()[:1]}) and not _NUMBER.match(text)
    return f"'{text}" if value and is_formula else text


def _visible(character: str) -> str:
    return character if character.isprintable() or character in _HARMLESS else _escape(character)


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else _ascii_escape(character)


def _ascii_escape(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\x{ord(character):02x}")
