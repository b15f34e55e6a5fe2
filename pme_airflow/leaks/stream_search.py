"""Searching streams of bytes for live tokens: in pieces, on all cores, with memory flat whatever their size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from pme_airflow.leaks.token_matcher import TokenMatcher

__all__ = ["Hit", "Piece", "Readable", "pieces_of", "search"]

_PIECE = 1 << 20
#: How far line breaks may stretch a token: a wrapped base64 or quoted-printable text breaks every 76 characters or so.
_STRETCH = 4


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


@dataclass(frozen=True)
class Piece:
    """A part of a stream.

    :param path: where the stream lies.
    :param base: the offset of ``data`` in the stream.
    :param data: the bytes.
    :param seam: where in them two pieces meet whose bytes are searched by themselves; 0 in a piece that is none.
    :param inside: collects the fingerprints found in what is packed in an archive, for the archive's own bytes.
    :param unless: fingerprints that are no news in this piece.
    """

    path: str
    base: int
    data: bytes = field(repr=False)
    seam: int = 0
    inside: set[str] | None = None
    unless: frozenset[str] | set[str] = frozenset()


def pieces_of(
    stream: Readable,
    path: str,
    longest: int,
    on_read: Callable[[int], None] | None = None,
    inside: set[str] | None = None,
    unless: frozenset[str] | set[str] = frozenset(),
) -> Iterator[Piece]:
    """A stream in pieces, and the seams between them, so that what is searched for stands whole in one of the two.

    :param longest: how many bytes the longest text that is searched for has.
    :param on_read: told how many bytes each piece had.
    """
    reach = max(256, longest * _STRETCH)
    tail = b""
    base = 0
    while fresh := stream.read(_PIECE):
        if on_read is not None:
            on_read(len(fresh))
        if tail:
            yield Piece(path, base - len(tail), tail + fresh[:reach], len(tail), inside, unless)
        yield Piece(path, base, fresh, 0, inside, unless)
        base += len(fresh)
        tail = fresh[-reach:] if len(fresh) >= reach else (tail + fresh)[-reach:]


def search(needles: TokenMatcher, pieces: Iterable[Piece], workers: int | None = None) -> Iterator[Hit]:
    """Every token in some pieces, each place once, in their order. The engines free the interpreter's lock.

    :param workers: how many threads search; as many as this process may use cores where it is left out.
    """
    workers = workers or _cores()
    under_way: deque[tuple[Piece, Future[list[tuple[str, int, int]]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="pme-scan") as pool:
        for piece in pieces:
            under_way.append((piece, pool.submit(needles.find, piece.data)))
            while len(under_way) > 2 * workers or (under_way and under_way[0][1].done()):
                yield from _news(*under_way.popleft())
        while under_way:
            yield from _news(*under_way.popleft())


def _cores() -> int:
    """How many cores this process may use; not every system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _news(piece: Piece, found: Future[list[tuple[str, int, int]]]) -> Iterator[Hit]:
    for mark, start, end in found.result():
        across = start < piece.seam < end
        if (piece.seam and not across) or mark in piece.unless:
            continue
        if piece.inside is not None:
            piece.inside.add(mark)
        yield Hit(mark, piece.path, piece.base + start)
