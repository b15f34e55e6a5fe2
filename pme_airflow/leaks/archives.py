"""Reading what a scan searches: streams, and archives inside archives, as chunks. Nothing is written to a disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.files import Source, Unread
from pme_airflow.leaks.stream_search import Chunk, Readable, chunks_of

__all__ = ["MAX_EXPANDED_BYTES", "ScanReader"]

#: An archive that expands beyond this, and beyond ``_MAX_RATIO`` times its size, is not read further.
MAX_EXPANDED_BYTES = 1 << 30
_MAX_RATIO = 200
_MAX_LEVELS = 4
_UNKNOWN_SIZE = 1 << 60
_MAX_NESTED_ZIP_BYTES = 64 << 20
_HEAD_BYTES = 512
_ARCHIVE_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError,
                   NotImplementedError, ValueError)  # fmt: skip


class _LimitedStream:
    """A stream out of an archive that raises an error once it expands beyond the limit."""

    def __init__(self, stream: Readable, packed_bytes: int) -> None:
        self._stream = stream
        self._limit = max(MAX_EXPANDED_BYTES, packed_bytes * _MAX_RATIO)
        self._read_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._read_bytes += len(data)
        if self._read_bytes > self._limit:
            raise PMEScanError(f"expands beyond {self._limit} bytes. Unpack it and scan the files.")
        return data


class ScanReader:
    """Reads sources into chunks, archives opened, and lists what could not be read.

    :param longest: bytes of the longest form that is searched for.
    :param on_read: called with the number of bytes of each chunk.
    """

    def __init__(self, longest: int, on_read: Callable[[int], None] | None = None) -> None:
        self._longest = longest
        self._on_read = on_read
        self.unread: list[Unread] = []

    def chunks(self, sources: Iterable[Source | Unread]) -> Iterator[Chunk]:
        """Yield the chunks of some sources."""
        for source in sources:
            if isinstance(source, Unread):
                self.unread.append(source)
            else:
                yield from self._source(source)

    def _source(self, source: Source) -> Iterator[Chunk]:
        try:
            with source.open() as stream:
                yield from self._stream(stream, source.path)
        except Exception as error:  # noqa: BLE001 - a stream of an object store may raise anything, with its keys in it
            self.skip(source.path, f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})")

    def skip(self, path: str, reason: str) -> None:
        """Record that something was not searched."""
        self.unread.append(Unread(path, reason))

    def _stream(self, stream: IO[bytes], path: str) -> Iterator[Chunk]:
        """Read a stream: the members where it is an archive, and its own bytes."""
        if not stream.seekable():
            yield from self.member(stream, path, _UNKNOWN_SIZE, _Nesting())
            return
        open_archive = _archive_kind(stream.read(_HEAD_BYTES))
        found_inside: set[str] = set()
        if open_archive is not None:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            yield from self._archive(open_archive, stream, path, size, _Nesting(found_inside=found_inside))
        stream.seek(0)
        yield from chunks_of(stream, path, self._longest, self._on_read, already_found=found_inside)

    def _archive(
        self, open_archive: _OpenArchive, stream: IO[bytes], path: str, size: int, nesting: _Nesting
    ) -> Iterator[Chunk]:
        if nesting.levels >= _MAX_LEVELS:
            self.skip(path, f"archives are nested deeper than {_MAX_LEVELS}. Unpack it and scan again")
            return
        problem = ""
        try:
            yield from open_archive(self, stream, path, size, nesting.below())
        except PMEScanError as error:
            problem = str(error)
        except _ARCHIVE_ERRORS as error:
            problem = f"is a broken or encrypted archive ({type(error).__name__}). Its readable part was searched"
        if problem:
            self.skip(path, problem)

    def member(self, stream: Readable, path: str, packed_bytes: int, nesting: _Nesting) -> Iterator[Chunk]:
        """Read a stream that cannot seek: a member of an archive, or standard input."""
        limited = _LimitedStream(stream, packed_bytes)
        head = limited.read(_HEAD_BYTES)
        whole = _Rewound(head, limited)
        open_archive = _archive_kind(head)
        if open_archive is None:
            yield from chunks_of(whole, path, self._longest, self._on_read, found_inside=nesting.found_inside)
        elif open_archive is _open_zip:
            yield from self._nested_zip(whole, path, packed_bytes, nesting)
        else:
            yield from self._archive(open_archive, cast("IO[bytes]", whole), path, packed_bytes, nesting)

    def _nested_zip(self, stream: Readable, path: str, packed_bytes: int, nesting: _Nesting) -> Iterator[Chunk]:
        """Read a zip in memory: its directory is at its end."""
        held = io.BytesIO()
        size = 0
        while fresh := stream.read(1 << 20):
            size += held.write(fresh)
            if size > _MAX_NESTED_ZIP_BYTES:
                self.skip(path, f"is a zip of over {_MAX_NESTED_ZIP_BYTES} bytes inside an archive. Unpack it first")
                return
        yield from self._archive(_open_zip, held, path, packed_bytes, nesting)


@dataclass(frozen=True)
class _Nesting:
    """How deep inside archives a stream lies.

    :param found_inside: collects the fingerprints found in it.
    """

    levels: int = 0
    found_inside: set[str] | None = None

    def below(self) -> _Nesting:
        return replace(self, levels=self.levels + 1)


class _Rewound:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._rest.read()
        head, self._head = self._head[:size], self._head[size:]
        return head if len(head) == size else head + self._rest.read(size - len(head))


_OpenArchive = Callable[[ScanReader, IO[bytes], str, int, _Nesting], Iterator[Chunk]]


def _open_zip(
    reader: ScanReader, stream: IO[bytes], path: str, packed_bytes: int, nesting: _Nesting
) -> Iterator[Chunk]:
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            try:
                with archive.open(entry) as member:
                    yield from reader.member(member, f"{path}!{entry.filename}", packed_bytes, nesting)
            except _ARCHIVE_ERRORS as error:
                reader.skip(f"{path}!{entry.filename}", f"cannot be read ({type(error).__name__})")


def _open_tar(
    reader: ScanReader, stream: IO[bytes], path: str, packed_bytes: int, nesting: _Nesting
) -> Iterator[Chunk]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            member = archive.extractfile(entry) if entry.isreg() else None
            if member is not None:
                yield from reader.member(member, f"{path}!{entry.name}", packed_bytes, nesting)


def _open_compressed(decompressor: Callable[[Any], Any]) -> _OpenArchive:
    def open_archive(
        reader: ScanReader, stream: IO[bytes], path: str, packed_bytes: int, nesting: _Nesting
    ) -> Iterator[Chunk]:
        name = Path(path).stem or "content"
        yield from reader.member(decompressor(stream), f"{path}!{name}", packed_bytes, nesting)

    return open_archive


def _archive_kind(head: bytes) -> _OpenArchive | None:
    """Return how to open an archive, by its first bytes; ``None`` for other files."""
    for magic, open_archive in (
        (b"PK\x03\x04", _open_zip),
        (b"\x1f\x8b", _open_compressed(lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"))),
        (b"BZh", _open_compressed(bz2.BZ2File)),
        (b"\xfd7zXZ\x00", _open_compressed(lzma.LZMAFile)),
    ):
        if head.startswith(magic):
            return open_archive
    return _open_tar if head[257:262] == b"ustar" else None
