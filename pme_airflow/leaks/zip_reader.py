"""Reading zip archives member by member, in bounded memory.

The format is PKWARE's APPNOTE 6.3. Python's ``zipfile`` holds the whole directory, a kilobyte for each member.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pme_airflow.errors import PMEScanError

__all__ = ["ZIP_END_BYTES", "ZipEntry", "ZipSection", "ends_with_zip", "zip_entries"]

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 1 << 16
#: Longer than the longest entry of a directory, of three fields of 64 KiB.
_STEP_BYTES = 1 << 20
#: The end of a zip archive is found in so many bytes before it.
ZIP_END_BYTES = _END.size + _MAX_COMMENT
_ENCRYPTED, _UTF8 = 0x1, 0x800
_BIG = 0xFFFFFFFF
_ZIP64 = 0x1


@dataclass(frozen=True)
class ZipEntry:
    """A member of a zip archive.

    :param name: its name.
    :param method: how it is compressed.
    :param encrypted: whether it is encrypted.
    :param start: where its local header begins in the file.
    :param packed_bytes: its compressed size.
    :param unpacked_bytes: the size it says it has uncompressed.
    """

    name: str
    method: int
    encrypted: bool
    start: int
    packed_bytes: int
    unpacked_bytes: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder without content."""
        return self.name.endswith("/") and self.packed_bytes == 0


class ZipSection:
    """The compressed bytes of a member.

    :raises PMEScanError: if there is no local header where the directory says.
    """

    def __init__(self, stream: IO[bytes], entry: ZipEntry) -> None:
        stream.seek(entry.start)
        header = stream.read(_LOCAL.size)
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise PMEScanError("is not at the position in the archive's directory")
        *_, name_length, extra_length = _LOCAL.unpack(header)
        self._stream = stream
        self._position = entry.start + _LOCAL.size + name_length + extra_length
        self._left = entry.packed_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes.

        :raises EOFError: if the archive is cut off.
        """
        self._stream.seek(self._position)
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        if not data and self._left and size:
            raise EOFError
        self._position += len(data)
        self._left -= len(data)
        return data


def ends_with_zip(tail: bytes) -> bool:
    """Return whether a file ends with a zip archive, whatever is before it, by its last :data:`ZIP_END_BYTES` bytes."""
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return False
    _, _, _, _, count, size, _, comment = _END.unpack_from(tail, at)
    return count > 0 and comment == len(tail) - at - _END.size and (size > at or b"PK\x01\x02" in tail[:at])


def zip_entries(stream: IO[bytes]) -> Iterator[ZipEntry]:
    """Yield the members in the directory of a zip archive.

    :raises PMEScanError: if it has no directory, or a broken one.
    """
    count, size, position, shift = _directory(stream)
    directory = _Directory(stream, position, size)
    while count and directory.left:
        header = directory.read(_ENTRY.size)
        if header[:4] != b"PK\x01\x02":
            raise PMEScanError("has a broken directory. The members before were searched")
        fields = _ENTRY.unpack(header)
        name_length, extra_length, comment_length = fields[10:13]
        name, extra = directory.read(name_length), directory.read(extra_length)
        directory.read(comment_length)
        packed, unpacked, start = _zip64_sizes(extra, fields[8], fields[9], fields[16])
        text = name.decode("utf-8" if fields[3] & _UTF8 else "cp437", "replace")
        yield ZipEntry(text, fields[4], bool(fields[3] & _ENCRYPTED), start + shift, packed, unpacked)
        count -= 1
    if count or directory.left:
        raise PMEScanError("has a directory whose length differs from its header. The members in it were searched")


class _Directory:
    """The directory, read in large steps: members are read in between, elsewhere in the file."""

    def __init__(self, stream: IO[bytes], position: int, size: int) -> None:
        self._stream = stream
        self._position = position
        self._unread = size
        self._buffer = b""
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes of it are left."""
        return self._unread + len(self._buffer) - self._at

    def read(self, size: int) -> bytes:
        """Return exactly a number of bytes.

        :raises PMEScanError: if there are fewer.
        """
        if len(self._buffer) - self._at < size and self._unread:
            self._stream.seek(self._position)
            fresh = self._stream.read(min(self._unread, _STEP_BYTES))
            self._position += len(fresh)
            self._unread = self._unread - len(fresh) if fresh else 0
            self._buffer, self._at = self._buffer[self._at :] + fresh, 0
        data = self._buffer[self._at : self._at + size]
        if len(data) < size:
            raise PMEScanError("has a broken directory. The members before were searched")
        self._at += size
        return data


def _directory(stream: IO[bytes]) -> tuple[int, int, int, int]:
    """Return the number of members, the directory's size and position, and what to add to positions in it."""
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, length - ZIP_END_BYTES))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise PMEScanError("is a broken zip archive without a directory. Only its raw bytes were searched")
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
    end = length - len(tail) + at
    count, size, offset, end = _directory64(stream, end, (count, size, offset))
    if size > end:
        raise PMEScanError("is a broken zip archive. Only its raw bytes were searched")
    return count, size, end - size, end - size - offset


def _directory64(stream: IO[bytes], end: int, small: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the same from the zip64 records; without them, from the end record."""
    stream.seek(max(0, end - _END64_LOCATOR.size))
    locator = stream.read(_END64_LOCATOR.size)
    if len(locator) < _END64_LOCATOR.size or locator[:4] != b"PK\x06\x07":
        return *small, end
    position = end - _END64_LOCATOR.size - _END64.size
    stream.seek(max(0, position))
    record = stream.read(_END64.size)
    if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
        raise PMEScanError("is a broken zip archive. Only its raw bytes were searched")
    *_, count, size, offset = _END64.unpack(record)
    return count, size, offset, position


def _zip64_sizes(extra: bytes, packed: int, unpacked: int, start: int) -> tuple[int, int, int]:
    """Return a member's sizes, packed and unpacked, and its position, from the zip64 field where they are too large."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        field = extra[position + 4 : position + 4 + length]
        if kind == _ZIP64:
            values = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
            unpacked = next(values, unpacked) if unpacked == _BIG else unpacked
            packed = next(values, packed) if packed == _BIG else packed
            start = next(values, start) if start == _BIG else start
            break
        position += 4 + length
    return packed, unpacked, start
