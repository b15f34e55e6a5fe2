"""The tokens that are looked for, in every disguise a token itself may wear, and where they stand in some bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

from pme_airflow.leaks.engines import engine_for
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["TokenMatcher", "disguises"]

#: A part of an encoded token with fewer bytes stands in any text by chance.
_TELLING = 4
#: What line breaks, their quoted-printable and folded forms, and UTF-16 put between the bytes of a text.
_BETWEEN = rb"(?:=?\r?\n[ \t]*|\0|\r)*"


def disguises(token: str) -> Iterator[bytes]:
    """A token as it may lie in bytes: plain, percent-encoded, hex, and base64 at each of its three offsets.

    What only puts bytes in between, such as UTF-16 and wrapped lines, is taken out of the data instead.
    """
    raw = token.encode()
    yield raw
    yield "".join(f"%{byte:02X}" for byte in raw).encode()
    yield "".join(f"%{byte:02x}" for byte in raw).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for shift in range(3):
        whole = (shift + len(raw)) // 3 * 4
        encoded = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] : whole]
        if len(encoded) < _TELLING:
            continue
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))


class TokenMatcher:
    """Finds tokens in bytes. Holds them in clear, in memory alone. Safe to share between threads.

    :param tokens: what is looked for; each stands for itself, so that there are no false alarms.
    :param engine: which search to use, for tests: ``hyperscan`` or ``ahocorasick``; the faster one that is installed
        where it is left out.
    """

    def __init__(self, tokens: Iterable[AccessToken], engine: str | None = None) -> None:
        self._marks: dict[bytes, str] = {}
        for token in tokens:
            mark = fingerprint(token)
            self._marks.update(dict.fromkeys(disguises(token.reveal()), mark))
        self._patterns = list(self._marks)
        self._engine = engine_for(self._patterns, engine) if self._patterns else None
        self.longest = max(map(len, self._patterns), default=0)

    def __repr__(self) -> str:
        return f"TokenMatcher({len(set(self._marks.values()))} tokens)"

    def find(self, data: bytes) -> list[tuple[str, int, int]]:
        """The fingerprint, start and end of each token in some bytes, also of one that line breaks cut apart."""
        if self._engine is None:
            return []
        found: list[tuple[str, int, int]] = []
        straight: set[str] = set()
        cut: list[bytes] = []
        for index in self._engine(data):
            pattern = self._patterns[index]
            places = list(_places(data, pattern))
            found += [(self._marks[pattern], start, start + len(pattern)) for start in places]
            straight.update([self._marks[pattern]] if places else [])
            cut += [] if places else [pattern]
        for pattern in cut:
            mark = self._marks[pattern]
            if mark not in straight:
                stretched = re.compile(_BETWEEN.join(re.escape(pattern[i : i + 1]) for i in range(len(pattern))))
                found += [(mark, match.start(), match.end()) for match in stretched.finditer(data)]
        return sorted(found, key=lambda hit: hit[1])


def _places(data: bytes, pattern: bytes) -> Iterator[int]:
    start = data.find(pattern)
    while start >= 0:
        yield start
        start = data.find(pattern, start + 1)
