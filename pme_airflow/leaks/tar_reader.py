"""Reading tar archives member by member from a stream that cannot seek, in bounded memory.

The headers are those of POSIX.1-2001 (ustar and pax) and of GNU tar. Python's ``tarfile`` reads a long name or a pax
header whole into memory, whatever its length, and keeps every member it has seen.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.stream_search import Readable, Rewound, peek

__all__ = ["MAX_HEADER_BYTES", "TarMember", "is_tar", "tar_members"]

#: The longest name or pax header that is parsed, in bytes; a longer one is searched like data.
MAX_HEADER_BYTES = 64 << 10
_BLOCK = 512
_SKIP_BYTES = 1 << 20
#: Links, devices, folders and pipes, which have no data.
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
#: A shorter name, link target or text in a pax header cannot hold a token of 25 characters.
_MIN_TEXT_BYTES = 20
_WITHOUT_TEXT = frozenset({b"atime", b"ctime", b"mtime", b"path", b"size"})
_BASE_256 = 0x80
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"L", b"K", b"x", b"g", b"S"


@dataclass
class TarMember:
    """A member of a tar archive, or what follows its end.

    :param name: its name; empty for data that is no member: link targets, names of folders and links, global headers,
        long headers, those with other texts than a name, and what follows the end.
    """

    name: str
    stream: Readable


class _Section:
    """The next bytes of a stream."""

    def __init__(self, stream: Readable, size: int, padding: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = padding

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        if self._left and not data and size:
            raise EOFError
        return data

    def skip(self) -> None:
        """Read to the end of the section and its padding."""
        self._left += self._padding
        while self._left:
            self.read(min(self._left, _SKIP_BYTES))


def is_tar(head: bytes) -> bool:
    """Return whether some bytes are the header of a tar archive, of any age."""
    return len(head) >= _BLOCK and bool(head.strip(b"\0")) and _has_checksum(head[:_BLOCK])


def tar_members(stream: Readable) -> Iterator[TarMember]:
    """Yield the members of a tar archive, and what follows its end; each must be read before the next.

    Archives that follow each other are read like one. Sparse files are read as they are stored, without their holes.

    :raises EOFError: if the archive is cut off.
    :raises PMEScanError: if a header is broken.
    """
    headers = _Headers()
    ended = False
    while block := _read_block(stream):
        if not block.strip(b"\0"):
            ended = True
        elif len(block) == _BLOCK and _has_checksum(block):
            yield from _member(stream, block, headers)
        elif ended:
            yield TarMember("", Rewound(block, stream))
            return
        else:
            raise PMEScanError("has a broken header inside. What comes before it was searched")


@dataclass
class _Headers:
    """The fields of the next member that extended headers set.

    :param has_more: whether the last one read has texts of other keys that are long enough for a token.
    """

    name: str = ""
    size: int | None = None
    has_more: bool = False


def _member(stream: Readable, block: bytes, headers: _Headers) -> Iterator[TarMember]:
    kind = block[156:157]
    is_member = kind not in _WITHOUT_DATA | {_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL}
    size = headers.size if is_member and headers.size is not None else _number(block[124:136])
    if kind in _WITHOUT_DATA:
        size = 0
    if kind == _SPARSE:
        _skip_sparse_map(stream, block)
    section = _Section(stream, size, -size % _BLOCK)
    if kind in (_LONG_NAME, _PAX):
        head, whole = peek(section, min(size, MAX_HEADER_BYTES))
        _read_header(kind, head, headers)
        if size > MAX_HEADER_BYTES or headers.has_more:
            yield TarMember("", whole)
    elif kind in (_LONG_LINK, _PAX_GLOBAL):
        yield TarMember("", section)
    else:
        name = headers.name or _name(block)
        for text in (block[157:257].rstrip(b"\0"), b"" if is_member else name.encode("utf-8", "surrogateescape")):
            if len(text) >= _MIN_TEXT_BYTES:
                yield TarMember("", io.BytesIO(text))
        if is_member:
            yield TarMember(name, section)
        headers.name, headers.size = "", None
    section.skip()


def _read_header(kind: bytes, content: bytes, headers: _Headers) -> None:
    if kind == _PAX:
        _read_pax(content, headers)
    else:
        headers.name, headers.has_more = _text(content.split(b"\0")[0]), False


def _read_block(stream: Readable) -> bytes:
    block = stream.read(_BLOCK)
    while 0 < len(block) < _BLOCK and (data := stream.read(_BLOCK - len(block))):
        block += data
    return block


def _has_checksum(block: bytes) -> bool:
    try:
        expected = _number(block[148:156])
    except PMEScanError:
        return False
    unsigned = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if expected == unsigned:
        return True
    high = sum(1 for byte in (*block[:148], *block[156:]) if byte > 127)
    return expected == unsigned - 256 * high  # some old programs add signed bytes


def _number(field: bytes) -> int:
    """Return a number: octal digits, or base 256 behind a first byte that says so (GNU).

    :raises PMEScanError: if it is neither, or negative.
    """
    if field[0] == _BASE_256:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise PMEScanError("has a broken header inside. What comes before it was searched")
    return int(digits or b"0", 8)


def _name(block: bytes) -> str:
    name, prefix = (block[start:end].split(b"\0")[0] for start, end in ((0, 100), (345, 500)))
    is_posix = block[257:263] == b"ustar\0"
    return _text(prefix + b"/" + name if prefix and is_posix else name)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _skip_sparse_map(stream: Readable, block: bytes) -> None:
    """Skip the blocks that continue the map of a GNU sparse file."""
    is_extended = block[482]
    while is_extended:
        block = _read_block(stream)
        if len(block) < _BLOCK:
            raise EOFError
        is_extended = block[504]


def _read_pax(records: bytes, headers: _Headers) -> None:
    """Read the name and the size from pax records: ``length key=value`` and a line break each."""
    position = 0
    headers.has_more = False
    while position < len(records):
        length, separator, _ = records[position : position + 20].partition(b" ")
        if not separator or not length.isdigit() or not 0 < int(length) <= len(records) - position:
            headers.has_more |= len(records) - position >= _MIN_TEXT_BYTES
            return
        key, _, value = records[position + len(length) + 1 : position + int(length) - 1].partition(b"=")
        if key == b"path":
            headers.name = _text(value)
        elif key == b"size" and value.isdigit() and len(value) < 20:
            headers.size = int(value)
        elif key not in _WITHOUT_TEXT and len(key) + len(value) >= _MIN_TEXT_BYTES:
            headers.has_more = True
        position += int(length)
