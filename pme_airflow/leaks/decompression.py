"""Decompress gzip, bzip2, xz and zlib streams in bounded steps, also several streams in one file."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.stream_search import Readable

__all__ = [
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
#: Small, because the rest of it is copied for each of the streams that follow each other.
_INPUT_BYTES = 16 << 10
_OUTPUT_BYTES = 256 << 10


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
    """

    def __init__(
        self, stream: Readable, make: Callable[[], Any], on_output: Callable[[int], None], magic: bytes = b""
    ) -> None:
        self._stream = stream
        self._make = make
        self._on_output = on_output
        self._magic = magic
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
            self._error = error
        if self._at < len(self._output):
            return True
        if self._error is not None and not is_error_later:
            raise self._error
        return False

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
    return DecompressedStream(stream, bz2.BZ2Decompressor, on_output, b"BZh")


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


def deflated(stream: Readable, method: int, on_output: Callable[[int], None]) -> Readable:
    """Decompress a member of a zip file by its method.

    :raises PMEScanError: if the method is unknown.
    """
    makers: dict[int, Callable[[], Any]] = {
        0: lambda: None,
        8: lambda: _Zlib(-zlib.MAX_WBITS),
        12: bz2.BZ2Decompressor,
    }
    if method not in makers:
        raise PMEScanError(f"is compressed with method {method}, which is not supported. Unpack it and scan the files")
    return _Counted(stream, on_output) if method == 0 else DecompressedStream(stream, makers[method], on_output)


class _Counted:
    """A stream whose bytes are counted."""

    def __init__(self, stream: Readable, on_output: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_output = on_output

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._on_output(len(data))
        return data
