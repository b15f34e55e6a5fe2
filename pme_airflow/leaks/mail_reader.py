"""Reading the base64 attachments of mail messages from a stream, in bounded memory.

Python's ``email`` holds a message whole in memory, several times over, and a mailbox of many messages is none of its.
"""

from __future__ import annotations

import binascii
import re
import string
from collections.abc import Iterator

from pme_airflow.leaks.stream_search import Readable

__all__ = ["attachments", "is_mail"]

#: The first header. Apple's ``.emlx`` has the number of the message's bytes before it, on a line of its own.
_HEADER = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[0-9]{1,12}[ \t]{0,12}(?=[\r\n]))?[\r\n]{0,8}"
    rb"(?:From |(?:arc-[a-z-]{1,40}|authentication-results|bcc|cc|content-[a-z-]{1,40}|date|delivered-to"
    rb"|dkim-signature|envelope-to|from|importance|in-reply-to|list-[a-z-]{1,40}|message-id|mime-version|received"
    rb"|received-spf|references|reply-to|resent-[a-z-]{1,40}|return-path|sender|subject|thread-[a-z-]{1,40}|to"
    rb"|x-[a-z0-9-]{1,60})[ \t]{0,8}:)",
    re.IGNORECASE,
)
#: The header of a part in base64, whose value may be on a line of its own.
_BASE64_HEADER = re.compile(rb"^content-transfer-encoding[ \t]*:\s*\"?base64", re.IGNORECASE | re.MULTILINE)
_OTHER_BYTES = bytes(set(range(256)) - set((string.ascii_letters + string.digits + "+/=").encode()))
_MAX_LINE_BYTES = 64 << 10
_STEP_BYTES = 64 << 10


def is_mail(head: bytes) -> bool:
    """Return whether a file begins as a mail message, a mailbox or a saved web page (MHTML) does."""
    return bool(_HEADER.match(head))


def attachments(stream: Readable) -> Iterator[Readable]:
    """Yield the content of each part of a message that is encoded in base64; each must be read before the next."""
    lines = _Lines(stream)
    before = b""
    is_base64 = False
    while line := lines.next():
        if line.startswith(b"--"):
            is_base64 = False
        elif is_base64 and not line.strip():
            part = _Base64Part(lines)
            yield part
            part.skip()
            line, is_base64 = b"", False
        elif not is_base64:
            is_base64 = bool(_BASE64_HEADER.search(before + line))
        before = line[:200]


class _Lines:
    """The lines of a stream; of a long line a part at a time."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def next(self) -> bytes:
        """Return the next line with its end; nothing at the end of the stream."""
        end = self._buffer.find(b"\n", self._at) + 1
        while not end and len(self._buffer) - self._at < _MAX_LINE_BYTES and (fresh := self._stream.read(_STEP_BYTES)):
            self._buffer, self._at = self._buffer[self._at :] + fresh, 0
            end = self._buffer.find(b"\n") + 1
        line = self._buffer[self._at : end or len(self._buffer)]
        self._at += len(line)
        return line


class _Base64Part:
    """The decoded content of a part, up to the next boundary or message."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._encoded = b""
        self._decoded = b""
        self._at_end = False

    def read(self, size: int = -1, /) -> bytes:
        """Return up to a number of bytes; fewer at the end.

        :raises ValueError: if it is no base64.
        """
        while not self._at_end and (size < 0 or len(self._decoded) < size):
            self._step()
        taken = self._decoded if size < 0 else self._decoded[:size]
        self._decoded = self._decoded[len(taken) :]
        return taken

    def skip(self) -> None:
        """Read to the end of the part."""
        self._decoded = b""
        while not self._at_end:
            self._encoded = self._decoded = b""
            self._step()

    def _step(self) -> None:
        """Decode about so many bytes as are read at once: line by line, the decoded ones would be copied each time."""
        pieces = [self._encoded]
        missing = _STEP_BYTES
        while missing > 0 and not self._at_end:
            line = self._lines.next()
            self._at_end = not line or line.startswith((b"--", b"From "))
            if not self._at_end:
                pieces.append(line.translate(None, _OTHER_BYTES))
                missing -= len(line)
        encoded = b"".join(pieces)
        whole = len(encoded) // 4 * 4
        self._encoded = encoded[whole:]
        self._decoded += binascii.a2b_base64(encoded[:whole])
