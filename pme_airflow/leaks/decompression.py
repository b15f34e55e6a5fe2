"""Decompress gzip, bzip2, xz and zlib streams in bounded steps, also several streams in one file."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.stream_search import Readable

__all__ = [
    "LZMA_METHODS",
    "MAX_DICTIONARY_BYTES",
    "MAX_NESTED_DICTIONARY_BYTES",
    "DecompressedStream",
    "bunzip2",
    "deflated",
    "gunzip",
    "inflate",
    "unxz",
]

#: What an xz stream may need to be decompressed; ``xz -9`` needs 65 MiB. An xz header can ask for 4 GiB.
MAX_DICTIONARY_BYTES = 72 << 20
#: The same inside another xz stream; ``xz`` needs 9 MiB by default.
MAX_NESTED_DICTIONARY_BYTES = 10 << 20
#: The methods of zip files that need a large dictionary: LZMA and xz.
LZMA_METHODS = frozenset({14, 95})
#: Before LZMA in a zip file: a version, the length of the properties, three numbers in a byte, the dictionary's size.
_ZIP_LZMA_HEADER = struct.Struct("<2sHBL")
_LZMA_PROPERTIES = 5
_MIN_DICTIONARY = 4096
#: Small, because the rest of it is copied for each of the streams that follow each other.
_INPUT_BYTES = 16 << 10
_OUTPUT_BYTES = 256 << 10
#: What a block of bzip2 is decompressed to at most, before its checksum is compared: some ten bytes are enough for it.
_BZIP2_BLOCK = 900_000


class _Zlib:
    """A zlib decompressor with the interface of those of ``bz2`` and ``lzma``."""

    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        output = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.unused_data = self._zlib.unused_data
        return output


class DecompressedStream:
    """Reads a compressed stream.

    :param stream: the compressed bytes.
    :param make: makes a decompressor for each of the streams that follow each other in it.
    :param on_output: called with the number of bytes of each step; may raise to stop.
    :param magic: the first bytes of each such stream.
    :param block: how many bytes a stream may be decompressed to before it turns out to be broken; they count as output.
    """

    def __init__(
        self, stream: Readable, make: Callable[[], Any], on_output: Callable[[int], None], magic: bytes = b"",
        block: int = 0,
    ) -> None:  # fmt: skip
        self._stream = stream
        self._make = make
        self._on_output = on_output
        self._magic = magic
        self._block = block
        self._decompressor = make()
        self._pending = b""
        self._output = b""
        self._at = 0
        self._at_end = False
        self._error: Exception | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Return up to a number of bytes; fewer at the end, or before an error, which the next call raises.

        :raises PMEScanError: if other data follows the compressed streams, or they need too much memory.
        :raises EOFError: if the last one is cut off.
        """
        parts: list[bytes] = []
        missing = size if size >= 0 else _OUTPUT_BYTES
        while missing and self._has_output(bool(parts)):
            part = self._output[self._at : self._at + missing]
            self._at += len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _has_output(self, is_error_later: bool) -> bool:
        """Decompress until there is output; small steps would copy the waiting input for each of them."""
        try:
            while self._at == len(self._output) and not self._at_end and self._error is None:
                self._output, self._at = self._step(), 0
                self._on_output(len(self._output))
        except Exception as error:  # noqa: BLE001 - raised again, after the bytes that come before it
            self._error = self._broken(error)
        if self._at < len(self._output):
            return True
        if self._error is not None and not is_error_later:
            raise self._error
        return False

    def _broken(self, error: Exception) -> Exception:
        """Count the work on a block that gave nothing; return the error, or that of the limit that this goes beyond."""
        if isinstance(error, OSError) and self._block:
            try:
                self._on_output(self._block)
            except PMEScanError as limit:
                return limit
        return error

    def _step(self) -> bytes:
        if self._decompressor.eof:
            self._next_stream()
            return b""
        data = b""
        if self._decompressor.needs_input:
            data, self._pending = self._pending or self._stream.read(_INPUT_BYTES), b""
        output: bytes = self._decompressor.decompress(data, _OUTPUT_BYTES)
        if not (data or output or self._decompressor.eof):
            raise EOFError
        return output

    def _next_stream(self) -> None:
        """Continue with the next stream, if there is one; zero bytes in between are padding."""
        rest = self._decompressor.unused_data.lstrip(b"\0")
        while not rest and (data := self._stream.read(_INPUT_BYTES)):
            rest = data.lstrip(b"\0")
        while 0 < len(rest) < len(self._magic) and (data := self._stream.read(_INPUT_BYTES)):
            rest += data
        self._at_end = not rest
        if rest and not (self._magic and rest.startswith(self._magic)):
            raise PMEScanError("has other data after its end, which was not searched. Cut it off, and scan both parts")
        if rest:
            self._decompressor, self._pending = self._make(), rest


def gunzip(stream: Readable, on_output: Callable[[int], None]) -> DecompressedStream:
    """Decompress gzip (RFC 1952)."""
    return DecompressedStream(stream, lambda: _Zlib(zlib.MAX_WBITS | 16), on_output, b"\x1f\x8b")


def bunzip2(stream: Readable, on_output: Callable[[int], None]) -> DecompressedStream:
    """Decompress bzip2."""
    return DecompressedStream(stream, bz2.BZ2Decompressor, on_output, b"BZh", _BZIP2_BLOCK)


class _Lzma:
    """A decompressor of xz whose memory is limited, with an error that names the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lzma = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lzma, name)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return self._lzma.decompress(data, max_length)
        except lzma.LZMAError as error:
            if "limit" not in str(error):
                raise
            reason = f"needs over {self._limit} bytes of memory. Decompress it and scan the files"
            raise PMEScanError(reason) from None


def unxz(
    stream: Readable, on_output: Callable[[int], None], max_memory: int = MAX_DICTIONARY_BYTES
) -> DecompressedStream:
    """Decompress xz within a memory limit."""
    return DecompressedStream(stream, lambda: _Lzma(max_memory), on_output, b"\xfd7zXZ\x00")


def inflate(stream: Readable, on_output: Callable[[int], None]) -> DecompressedStream:
    """Decompress zlib (RFC 1950), as git stores single objects."""
    return DecompressedStream(stream, lambda: _Zlib(zlib.MAX_WBITS), on_output)


class _ZipLzma:
    """A decompressor of LZMA as a zip file has it: with a header of its own, and perhaps without a mark of its end.

    :param size: how many bytes come out of it.
    :param limit: how much memory its dictionary may need.
    """

    def __init__(self, size: int, limit: int) -> None:
        self._left = size
        self._limit = limit
        self._head = b""
        self._lzma: lzma.LZMADecompressor | None = None
        self._is_read = False
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return self._is_read or (self._lzma is not None and self._lzma.eof)

    @property
    def needs_input(self) -> bool:
        return self._lzma is None or self._left <= 0 or self._lzma.needs_input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._lzma is None:
            self._head += data
            if len(self._head) < _ZIP_LZMA_HEADER.size and data:
                return b""
            self._lzma, data = self._begin(), self._head[_ZIP_LZMA_HEADER.size :]
        if self._left <= 0:  # what is left is a mark of the end, if anything
            self._is_read = not data
            return b""
        output = self._lzma.decompress(data, min(max_length, self._left))
        self._left -= len(output)
        return output

    def _begin(self) -> lzma.LZMADecompressor:
        if len(self._head) < _ZIP_LZMA_HEADER.size:
            raise EOFError
        _, length, properties, dictionary = _ZIP_LZMA_HEADER.unpack_from(self._head)
        if length != _LZMA_PROPERTIES or properties >= 9 * 5 * 5:
            raise PMEScanError("has a broken LZMA header. Unpack it and scan the files")
        if dictionary > self._limit:
            raise PMEScanError(f"needs over {self._limit} bytes of memory. Decompress it and scan the files")
        position, literal = divmod(properties, 9)
        bits = {"lc": literal, "lp": position % 5, "pb": position // 5, "dict_size": max(dictionary, _MIN_DICTIONARY)}
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **bits}])


def deflated(
    stream: Readable,
    method: int,
    on_output: Callable[[int], None],
    size: int = 0,
    max_memory: int = MAX_DICTIONARY_BYTES,
) -> Readable:
    """Decompress a member of a zip file by its method.

    :param size: the size that the archive gives for the member uncompressed; LZMA needs it.
    :param max_memory: how much memory LZMA and xz may need.
    :raises PMEScanError: if the method is unknown.
    """
    makers: dict[int, Callable[[], Any]] = {
        0: lambda: None,
        8: lambda: _Zlib(-zlib.MAX_WBITS),
        12: bz2.BZ2Decompressor,
        14: lambda: _ZipLzma(size, max_memory),
        95: lambda: _Lzma(max_memory),
    }
    if method not in makers:
        raise PMEScanError(f"is compressed with method {method}, which is not supported. Unpack it and scan the files")
    if method == 0:
        return _Counted(stream, on_output)
    return DecompressedStream(stream, makers[method], on_output, block=_BZIP2_BLOCK if method == 12 else 0)


class _Counted:
    """A stream whose bytes are counted."""

    def __init__(self, stream: Readable, on_output: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_output = on_output

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._on_output(len(data))
        return data
