"""Searching byte streams for live tokens: in chunks, on all cores, with constant memory whatever their size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from pme_airflow.leaks.token_matcher import Match, TokenMatcher

__all__ = ["Chunk", "Hit", "Readable", "Rewound", "chunks_of", "peek", "search"]

_CHUNK_BYTES = 1 << 20
#: How much longer line breaks may make a token: wrapped base64 or quoted-printable breaks every 76 characters or so.
_MAX_STRETCH = 4
_MIN_SEAM_BYTES = 256


class Readable(Protocol):
    """A stream that can be read in chunks."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to a number of bytes; fewer at the end."""
        ...


class Rewound:
    """A stream whose first bytes were read already. Bytes that come before an error are returned before it is raised.

    :param error: what reading beyond the first bytes raised, if it was tried.
    """

    def __init__(self, head: bytes, rest: Readable, error: Exception | None = None) -> None:
        self._head = head
        self._rest = rest
        self._error = error

    def read(self, size: int = -1, /) -> bytes:
        """Return up to a number of bytes; fewer at the end or before an error."""
        head, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
        if head and (len(head) == size or self._error is not None):
            return head
        if self._error is not None:
            raise self._error
        try:
            return head + self._rest.read(size - len(head) if size >= 0 else -1)
        except Exception as error:
            if not head:
                raise
            self._error = error
            return head


def peek(stream: Readable, size: int) -> tuple[bytes, Rewound]:
    """Return the first bytes of a stream, and the stream with these bytes before it; a pipe gives fewer at once.

    An error is raised by the stream that is returned, once the bytes before it are read.
    """
    head = b""
    try:
        while len(head) < size and (fresh := stream.read(size - len(head))):
            head += fresh
    except Exception as error:  # noqa: BLE001 - raised later
        return head, Rewound(head, stream, error)
    return head, Rewound(head, stream)


@dataclass(frozen=True)
class Hit:
    """A live token found at one place.

    :param path: the file or stream; members of archives follow a ``!``.
    :param offset: bytes from its start.
    """

    fingerprint: str
    path: str
    offset: int


@dataclass(frozen=True)
class Chunk:
    """A range of a stream.

    :param path: the path of the stream.
    :param base: the offset of ``data`` in the stream.
    :param data: the bytes.
    :param seam: where in ``data`` two chunks meet that are searched by themselves too; 0 for such a chunk itself.
    :param found_inside: collects the fingerprints found in the members of an archive, for the archive's own bytes.
    :param already_found: fingerprints that are not reported again for this chunk.
    """

    path: str
    base: int
    data: bytes = field(repr=False)
    seam: int = 0
    found_inside: set[str] | None = None
    already_found: frozenset[str] | set[str] = frozenset()


def chunks_of(
    stream: Readable,
    path: str,
    longest: int,
    on_read: Callable[[int], None] | None = None,
    found_inside: set[str] | None = None,
    already_found: frozenset[str] | set[str] = frozenset(),
) -> Iterator[Chunk]:
    """Yield a stream in chunks, and the seams between them, so that each token lies whole in one of the two.

    :param longest: bytes of the longest form that is searched for.
    :param on_read: called with the number of bytes of each chunk.
    """
    reach = max(_MIN_SEAM_BYTES, longest * _MAX_STRETCH)
    tail = b""
    base = 0
    while fresh := stream.read(_CHUNK_BYTES):
        if on_read is not None:
            on_read(len(fresh))
        if tail:
            yield Chunk(path, base - len(tail), tail + fresh[:reach], len(tail), found_inside, already_found)
        yield Chunk(path, base, fresh, 0, found_inside, already_found)
        base += len(fresh)
        tail = fresh[-reach:] if len(fresh) >= reach else (tail + fresh)[-reach:]


def search(matcher: TokenMatcher, chunks: Iterable[Chunk], workers: int | None = None) -> Iterator[Hit]:
    """Yield every token in some chunks, each place once, in order. The engines release the interpreter's lock.

    :param workers: how many threads search; by default as many as this process may use cores.
    """
    workers = workers or _cores()
    in_flight: deque[tuple[Chunk, Future[list[Match]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="pme-scan") as pool:
        for chunk in chunks:
            in_flight.append((chunk, pool.submit(matcher.find, chunk.data)))
            while len(in_flight) > 2 * workers or (in_flight and in_flight[0][1].done()):
                yield from _new_hits(*in_flight.popleft())
        while in_flight:
            yield from _new_hits(*in_flight.popleft())


def _cores() -> int:
    """Return how many cores this process may use; macOS does not report an affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _new_hits(chunk: Chunk, matches: Future[list[Match]]) -> Iterator[Hit]:
    for match in matches.result():
        crosses_seam = match.start < chunk.seam < match.end
        if (chunk.seam and not crosses_seam) or match.fingerprint in chunk.already_found:
            continue
        if chunk.found_inside is not None:
            chunk.found_inside.add(match.fingerprint)
        yield Hit(match.fingerprint, chunk.path, chunk.base + match.start)
