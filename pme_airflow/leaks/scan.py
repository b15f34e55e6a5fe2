"""Searching streams of bytes for live tokens: in pieces, so that memory stays flat whatever their size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pme_airflow.leaks.needles import Needles

__all__ = ["Hit", "Readable", "scan_stream"]

_PIECE = 1 << 20
#: How far line breaks may stretch a token: a wrapped base64 or quoted-printable text breaks every 76 characters or so.
_STRETCH = 4
_BREAKS = re.compile(rb"=?\r?\n[ \t]*")


class Readable(Protocol):
    """What can be read in pieces."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or fewer at the end."""
        ...


@dataclass(frozen=True)
class Hit:
    """A token of ours that stands somewhere.

    :param path: where; parts of archives after a ``!``.
    :param offset: bytes from its start.
    """

    fingerprint: str
    path: str
    offset: int


def scan_stream(
    stream: Readable, path: str, needles: Needles, on_read: Callable[[int], None] | None = None
) -> Iterator[Hit]:
    """Every token in a stream, also one that line breaks cut apart; each place once.

    :param on_read: told how many bytes each piece had.
    """
    overlap = max(256, needles.longest * _STRETCH)
    kept = b""
    base = 0
    seen: set[tuple[str, int]] = set()
    while piece := stream.read(_PIECE):
        if on_read is not None:
            on_read(len(piece))
        data = kept + piece
        for mark, offset in _found(data, needles):
            if (mark, base + offset) not in seen:
                yield Hit(mark, path, base + offset)
        keep = min(overlap, len(data))
        kept = data[len(data) - keep :]
        base += len(data) - keep
        seen = {(mark, base + offset) for mark, offset in _found(kept, needles)}


def _found(data: bytes, needles: Needles) -> set[tuple[str, int]]:
    found = set(needles.find(data))
    if b"\n" in data:
        joined = _BREAKS.sub(b"", data)
        if len(joined) != len(data):
            straight = {mark for mark, _ in found}
            cut = [(mark, offset) for mark, offset in needles.find(joined) if mark not in straight]
            found |= {(mark, _unjoined(data, offset)) for mark, offset in cut}
    return found


def _unjoined(data: bytes, offset: int) -> int:
    """Where something that was found without the line breaks stands among them."""
    removed = 0
    for match in _BREAKS.finditer(data):
        if match.start() - removed > offset:
            break
        removed += match.end() - match.start()
    return offset + removed
