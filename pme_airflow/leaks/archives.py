"""Reading what a scan searches: streams, and archives inside archives, as chunks. Nothing is written to a disk.

Every source is read in bounded memory and time. The limits hold for a source as a whole, whatever is nested in it.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path
from typing import IO, cast

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.archive_kinds import Compressed, Kind, Mail, Tar, Unopened, Xz, Zip, kind_of
from pme_airflow.leaks.decompression import (
    LZMA_METHODS,
    MAX_DICTIONARY_BYTES,
    MAX_NESTED_DICTIONARY_BYTES,
    deflated,
    unxz,
)
from pme_airflow.leaks.files import Source, Unread
from pme_airflow.leaks.mail_reader import attachments
from pme_airflow.leaks.stream_search import Chunk, Readable, Rewound, chunks_of, peek
from pme_airflow.leaks.tar_reader import tar_members
from pme_airflow.leaks.zip_reader import ZIP_END_BYTES, ZipEntry, ZipSection, ends_with_zip, zip_entries

__all__ = [
    "MAX_ARCHIVE_LEVELS",
    "MAX_ARCHIVE_MEMBERS",
    "MAX_EXPANDED_BYTES",
    "MAX_EXPANSION_RATIO",
    "MAX_NAME_CHARACTERS",
    "MAX_NESTED_ZIP_BYTES",
    "MAX_UNREAD_PARTS",
    "ScanReader",
]

#: A source is not read further once its unpacked contents are longer than this, and than
#: :data:`MAX_EXPANSION_RATIO` times the source itself.
MAX_EXPANDED_BYTES = 1 << 30
#: See :data:`MAX_EXPANDED_BYTES`.
MAX_EXPANSION_RATIO = 200
#: How deep archives inside archives are opened.
MAX_ARCHIVE_LEVELS = 4
#: A source is not read further after so many members of archives.
MAX_ARCHIVE_MEMBERS = 1_000_000
#: Zip archives and mail messages inside other archives are held in memory; together they may have so many bytes.
MAX_NESTED_ZIP_BYTES = 48 << 20
#: So many unread parts of one source are named; the others are counted.
MAX_UNREAD_PARTS = 100
#: Longer names of members are cut.
MAX_NAME_CHARACTERS = 1000
_HEAD_BYTES = 512
#: A shorter name cannot hold a token of 25 characters.
_MIN_NAME_CHARACTERS = 20
_ERRORS = (OSError, EOFError, OverflowError, ValueError, LZMAError, PMEScanError, zlib.error)


class _LimitError(Exception):
    """A limit of a source as a whole is reached."""


@dataclass
class _Budget:
    """The remaining limits of one source.

    :param path: the source.
    :param size: its length in bytes as far as it is known or read.
    :param found: fingerprints found in what is packed in it.
    """

    path: str
    size: int = 0
    expanded: int = 0
    members: int = 0
    held: int = 0
    is_in_xz: bool = False
    unread: int = 0
    found: set[str] = field(default_factory=set)

    def expand(self, size: int) -> None:
        """Count bytes out of an archive."""
        self.expanded += size
        limit = max(MAX_EXPANDED_BYTES, self.size * MAX_EXPANSION_RATIO)
        if self.expanded > limit:
            raise _LimitError(f"expands beyond {limit} bytes and was not read further. Unpack it and scan the files")

    def member(self) -> None:
        """Count a member of an archive."""
        self.members += 1
        if self.members > MAX_ARCHIVE_MEMBERS:
            raise _LimitError(f"has over {MAX_ARCHIVE_MEMBERS} members and was not read further. Unpack it")


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
        budget = _Budget(source.path)
        yield from self._name(source.path, source.path)
        try:
            with source.open() as stream:
                yield from self._stream(stream, budget)
        except _LimitError as error:
            self.unread.append(Unread(source.path, str(error), permanent=True))
        except Exception as error:  # noqa: BLE001 - a stream of an object store may raise anything, with its keys in it
            reason = getattr(error, "strerror", None) or type(error).__name__
            self.unread.append(Unread(source.path, f"cannot be read ({reason})"))
        if budget.unread > MAX_UNREAD_PARTS:
            count = budget.unread - MAX_UNREAD_PARTS
            self.unread.append(Unread(source.path, f"{count} more parts were not searched", permanent=True))

    def _name(self, path: str, name: str) -> Iterator[Chunk]:
        """Yield the name of a source or member as a chunk: a downloaded page's file may be named by its link."""
        if len(name) >= _MIN_NAME_CHARACTERS:
            yield Chunk(f"{path} (its name)", 0, _name_bytes(name))

    def _skip(self, path: str, reason: str, budget: _Budget, *, permanent: bool = True) -> None:
        budget.unread += 1
        if budget.unread <= MAX_UNREAD_PARTS:
            self.unread.append(Unread(path, reason, permanent=permanent))

    def _stream(self, stream: IO[bytes], budget: _Budget) -> Iterator[Chunk]:
        """Read a source: the members where it is an archive, and its own bytes."""
        if not stream.seekable():
            yield from self._member(_Metered(stream, budget), budget.path, budget, 0)
            return
        kind = kind_of(stream.read(_HEAD_BYTES))
        budget.size = stream.seek(0, os.SEEK_END)
        if kind is None:  # a zip archive may follow a program that unpacks or runs it
            stream.seek(max(0, budget.size - ZIP_END_BYTES))
            kind = Zip() if ends_with_zip(stream.read()) else None
        stream.seek(0)
        try:
            yield from self._archive(kind, stream, budget.path, budget, 0)
        except _LimitError as error:
            self._skip(budget.path, str(error), budget)
        stream.seek(0)
        yield from chunks_of(stream, budget.path, self._longest, self._on_read, already_found=budget.found)

    def _member(self, stream: Readable, path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        """Read a stream that cannot seek: a member of an archive, or standard input."""
        head, whole = peek(stream, _HEAD_BYTES)
        kind = kind_of(head)
        if kind is None or isinstance(kind, Unopened):
            yield from self._archive(kind, whole, path, budget, level)
            kept = _TailKept(whole)
            yield from chunks_of(kept, path, self._longest, self._on_read, found_inside=budget.found)
            if kind is None and ends_with_zip(kept.tail):
                reason = "ends with a zip archive behind other data, which is not opened here. Unpack the outer archive"
                self._skip(path, reason, budget)
        elif isinstance(kind, Zip | Mail):
            yield from self._held(kind, whole, path, budget, level)
        else:
            if not isinstance(kind, Tar):  # gzip keeps a name and a comment before what is compressed
                yield Chunk(f"{path} (its header)", 0, head, already_found=budget.found)
            yield from self._archive(kind, whole, path, budget, level)

    def _archive(self, kind: Kind | None, stream: Readable, path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        """Read the contents of an archive or compressed stream, and report what cannot be read."""
        if kind is None:
            return
        if isinstance(kind, Unopened):
            self._skip(path, f"{kind.name}. {kind.advice}", budget)
        elif level >= MAX_ARCHIVE_LEVELS:
            self._skip(path, f"archives are nested deeper than {MAX_ARCHIVE_LEVELS}. Unpack it and scan again", budget)
        else:
            try:
                yield from self._members(kind, stream, path, budget, level + 1)
            except _ERRORS as error:
                self._skip(path, _reason(error), budget, permanent=False)

    def _members(self, kind: Kind, stream: Readable, path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        if isinstance(kind, Zip):
            yield from self._zip(cast("IO[bytes]", stream), path, budget, level)
        elif isinstance(kind, Tar):
            for member in tar_members(stream):
                budget.member()
                name = _inside(path, member.name or "data between members")
                yield from self._name(name, member.name)
                yield from self._member(member.stream, name, budget, level)
        elif isinstance(kind, Mail):
            yield from self._mail(stream, path, budget, level)
        elif isinstance(kind, Compressed):
            name = _inside(path, _unpacked_name(path))
            yield from self._member(kind.decompress(stream, budget.expand), name, budget, level)
        elif isinstance(kind, Xz):
            yield from self._xz(stream, path, budget, level)

    def _mail(self, stream: Readable, path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        """Read the parts in base64; what they contain may have another encoding inside, such as UTF-16."""
        for number, part in enumerate(attachments(stream), 1):
            budget.member()
            yield from self._member(part, _inside(path, f"attachment {number}"), budget, level)

    def _xz(self, stream: Readable, path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        limit = MAX_NESTED_DICTIONARY_BYTES if budget.is_in_xz else MAX_DICTIONARY_BYTES
        outside, budget.is_in_xz = budget.is_in_xz, True
        try:
            name = _inside(path, _unpacked_name(path))
            yield from self._member(unxz(stream, budget.expand, limit), name, budget, level)
        finally:
            budget.is_in_xz = outside

    def _zip(self, stream: IO[bytes], path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        for entry in zip_entries(stream):
            budget.member()
            name = _inside(path, entry.name)
            yield from self._name(name, entry.name)
            if entry.encrypted:
                self._skip(name, "is encrypted. Decrypt it and scan the files", budget)
            elif not entry.is_folder:
                yield from self._zip_member(stream, entry, name, budget, level)

    def _zip_member(
        self, stream: IO[bytes], entry: ZipEntry, name: str, budget: _Budget, level: int
    ) -> Iterator[Chunk]:
        outside = budget.is_in_xz
        limit = MAX_NESTED_DICTIONARY_BYTES if outside else MAX_DICTIONARY_BYTES
        budget.is_in_xz = outside or entry.method in LZMA_METHODS
        try:
            section = ZipSection(stream, entry)
            unpacked = deflated(section, entry.method, budget.expand, entry.unpacked_bytes, limit)
            yield from self._member(unpacked, name, budget, level)
        except _ERRORS as error:
            self._skip(name, _reason(error), budget, permanent=False)
        finally:
            budget.is_in_xz = outside

    def _held(self, kind: Zip | Mail, stream: Readable, path: str, budget: _Budget, level: int) -> Iterator[Chunk]:
        """Read a zip, whose directory is at its end, or a mail in memory. Its own bytes are searched too."""
        held = io.BytesIO()
        size = 0
        problem: Exception | None = None
        try:
            while fresh := stream.read(1 << 20):
                size += held.write(fresh)
                if budget.held + size > MAX_NESTED_ZIP_BYTES:
                    name = "zip" if isinstance(kind, Zip) else "mail"
                    reason = f"is a {name} of over {MAX_NESTED_ZIP_BYTES} bytes inside an archive. Unpack it first"
                    self._skip(path, reason, budget)
                    if isinstance(kind, Mail):
                        raw = Rewound(held.getvalue(), stream)
                        yield from chunks_of(raw, path, self._longest, self._on_read, found_inside=budget.found)
                    return
        except (*_ERRORS, _LimitError) as error:
            problem = error
        budget.held += size
        held.seek(0)
        yield from self._archive(kind, held, path, budget, level)
        held.seek(0)
        yield from chunks_of(
            held, path, self._longest, self._on_read, found_inside=budget.found, already_found=budget.found
        )
        budget.held -= size
        if problem is not None:
            raise problem


class _TailKept:
    """A stream whose last bytes are kept, enough of them for the end of a zip archive."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.tail = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.tail = data[-ZIP_END_BYTES:] if len(data) >= ZIP_END_BYTES else (self.tail + data)[-ZIP_END_BYTES:]
        return data


class _Metered:
    """A stream whose bytes count as the size of its source."""

    def __init__(self, stream: Readable, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._budget.size += len(data)
        return data


def _inside(path: str, name: str) -> str:
    return f"{path}!{name[:MAX_NAME_CHARACTERS]}"


def _unpacked_name(path: str) -> str:
    """Return the name of what is compressed: ``a.tar`` for ``dir.zip!a.tar.gz``."""
    return Path(path.rpartition("!")[2]).stem or "content"


def _name_bytes(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode(errors="replace")


def _reason(error: Exception) -> str:
    """Return why a part was not searched, as a sentence."""
    if isinstance(error, PMEScanError):
        return str(error)
    if isinstance(error, EOFError):
        return "is cut off. What comes before the cut was searched"
    return f"is broken ({type(error).__name__}). What comes before was searched"
