"""What a scan reads: files, trees, archives inside of archives, and standard input."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from pme_airflow.errors import PMEInputError, PMEScanError
from pme_airflow.leaks.stream_search import Hit, Piece, Readable, pieces_of, search
from pme_airflow.leaks.token_matcher import TokenMatcher

__all__ = ["MAX_EXPANDED_BYTES", "Scan", "files_under"]

#: An archive that expands beyond this, and beyond so many times its size, is not read on.
MAX_EXPANDED_BYTES = 1 << 30
_MAX_RATIO = 200
_MAX_DEPTH = 4
_UNKNOWN_SIZE = 1 << 60
_MAX_ZIP_INSIDE = 64 << 20
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError,
           NotImplementedError, ValueError)  # fmt: skip


def files_under(place: str) -> Iterator[Path]:
    """The files of a path: itself, or all below it; links to folders are not followed, so no loop is.

    :raises PMEInputError: where nothing is there.
    """
    root = Path(place)
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise PMEInputError(f"PATH: there is nothing at {place}. Name a file, a folder, - or a URL such as s3://….")
    for folder, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            with suppress(OSError):
                if stat.S_ISREG(path.stat().st_mode):
                    yield path


class _Limited:
    """A stream out of an archive, which ends in an error where it is a bomb."""

    def __init__(self, stream: Readable, packed: int) -> None:
        self._stream = stream
        self._limit = max(MAX_EXPANDED_BYTES, packed * _MAX_RATIO)
        self._read = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._read += len(data)
        if self._read > self._limit:
            raise PMEScanError(f"expands beyond {self._limit} bytes: unpack and scan it by hand if it is no bomb")
        return data


class Scan:
    """One scan: what is to be searched, in pieces, and what of it could not be read.

    :param needles: what is looked for.
    :param on_read: told how many bytes each piece had.
    """

    def __init__(self, needles: TokenMatcher, on_read: Callable[[int], None] | None = None) -> None:
        self._needles = needles
        self._on_read = on_read
        self.problems: list[str] = []

    def hits(self, pieces: Iterable[Piece]) -> Iterator[Hit]:
        """What stands in the pieces of files and streams."""
        return search(self._needles, pieces)

    def file(self, path: Path) -> Iterator[Piece]:
        """Read a file."""
        try:
            with path.open("rb") as stream:
                yield from self.stream(stream, str(path))
        except OSError as error:
            self.problems.append(f"{path}: cannot be read ({error.strerror or type(error).__name__})")

    def stream(self, stream: IO[bytes], path: str) -> Iterator[Piece]:
        """Read a stream: what is packed inside of it, and its bytes as they are."""
        if not stream.seekable():
            yield from self.member(stream, path, _UNKNOWN_SIZE, _Depth())
            return
        opened = _kind(stream.read(512))
        inside: set[str] = set()
        if opened is not None:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            yield from self._unpacked(opened, stream, path, size, _Depth(inside=inside))
        stream.seek(0)
        yield from pieces_of(stream, path, self._needles.longest, self._on_read, unless=inside)

    def _unpacked(self, opened: _Opened, stream: IO[bytes], path: str, size: int, depth: _Depth) -> Iterator[Piece]:
        if depth.levels >= _MAX_DEPTH:
            self.problems.append(f"{path}: archives are nested deeper than {_MAX_DEPTH}; unpack it and scan again")
            return
        problem = ""
        try:
            yield from opened(self, stream, path, size, depth.below())
        except PMEScanError as error:
            problem = str(error)
        except _BROKEN as error:
            problem = f"is a broken or locked archive ({type(error).__name__}); what is whole of it was scanned"
        if problem:
            self.problems.append(f"{path}: {problem}")

    def member(self, stream: Readable, path: str, packed: int, depth: _Depth) -> Iterator[Piece]:
        """Read what can only be read on: a member of an archive, or standard input. Nothing is written to a disk."""
        limited = _Limited(stream, packed)
        head = limited.read(512)
        whole = _Chained(head, limited)
        opened = _kind(head)
        if opened is None:
            yield from pieces_of(whole, path, self._needles.longest, self._on_read, inside=depth.inside)
        elif opened is _zip:
            yield from self._zip_in_memory(whole, path, packed, depth)
        else:
            yield from self._unpacked(opened, cast("IO[bytes]", whole), path, packed, depth)

    def _zip_in_memory(self, stream: Readable, path: str, packed: int, depth: _Depth) -> Iterator[Piece]:
        """A zip's directory stands at its end, so that it is held whole."""
        held = io.BytesIO()
        while piece := stream.read(1 << 20):
            held.write(piece)
            if held.tell() > _MAX_ZIP_INSIDE:
                self.problems.append(
                    f"{path}: is a zip of over {_MAX_ZIP_INSIDE} bytes inside another; unpack it first"
                )
                return
        yield from self._unpacked(_zip, held, path, packed, depth)


@dataclass(frozen=True)
class _Depth:
    """How deep in archives something lies, and who is told what is found there."""

    levels: int = 0
    inside: set[str] | None = None

    def below(self) -> _Depth:
        return replace(self, levels=self.levels + 1)


class _Chained:
    """A stream whose beginning was read already."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._rest.read()
        head, self._head = self._head[:size], self._head[size:]
        return head if len(head) == size else head + self._rest.read(size - len(head))


_Opened = Callable[[Scan, IO[bytes], str, int, _Depth], Iterator[Piece]]


def _zip(scan: Scan, stream: IO[bytes], path: str, packed: int, depth: _Depth) -> Iterator[Piece]:
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            try:
                with archive.open(entry) as member:
                    yield from scan.member(member, f"{path}!{entry.filename}", packed, depth)
            except _BROKEN as error:
                scan.problems.append(f"{path}!{entry.filename}: cannot be read ({type(error).__name__})")


def _tar(scan: Scan, stream: IO[bytes], path: str, packed: int, depth: _Depth) -> Iterator[Piece]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            member = archive.extractfile(entry) if entry.isreg() else None
            if member is not None:
                yield from scan.member(member, f"{path}!{entry.name}", packed, depth)


def _packed_by(open_: Callable[[Any], Any]) -> _Opened:
    def opened(scan: Scan, stream: IO[bytes], path: str, packed: int, depth: _Depth) -> Iterator[Piece]:
        name = Path(path).stem or "content"
        yield from scan.member(open_(stream), f"{path}!{name}", packed, depth)

    return opened


def _kind(head: bytes) -> _Opened | None:
    """How a file is opened, by its first bytes."""
    for magic, opened in (
        (b"PK\x03\x04", _zip),
        (b"\x1f\x8b", _packed_by(lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"))),
        (b"BZh", _packed_by(bz2.BZ2File)),
        (b"\xfd7zXZ\x00", _packed_by(lzma.LZMAFile)),
    ):
        if head.startswith(magic):
            return opened
    return _tar if head[257:262] == b"ustar" else None
