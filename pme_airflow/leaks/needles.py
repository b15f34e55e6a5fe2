"""The very tokens that are looked for, in every disguise a token itself may wear, and one pass that finds them all."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

import ahocorasick_rs

from pme_airflow.api.values import AccessToken
from pme_airflow.sealing import fingerprint

__all__ = ["Needles"]

#: What the automaton looks for is the start of a pattern; the rest is compared. It keeps the automaton small.
_PREFIX = 12


def _disguises(token: str) -> Iterator[bytes]:
    """A token as it may lie in bytes: plain, UTF-16, percent-encoded, hex, and base64 at each of its three offsets."""
    raw = token.encode()
    yield raw
    yield token.encode("utf-16-le")[:-1]  # the bytes both orders share
    yield "".join(f"%{byte:02X}" for byte in raw).encode()
    yield "".join(f"%{byte:02x}" for byte in raw).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for shift in range(3):
        whole = (shift + len(raw)) // 3 * 4
        encoded = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] : whole]
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))


class Needles:
    """Finds tokens in bytes. Holds them in clear, in memory alone.

    :param tokens: what is looked for; each stands for itself, so that there are no false alarms.
    """

    def __init__(self, tokens: Iterable[AccessToken]) -> None:
        self._marks: dict[bytes, str] = {}
        by_prefix: dict[bytes, list[bytes]] = {}
        for token in tokens:
            mark = fingerprint(token)
            for pattern in dict.fromkeys(_disguises(token.reveal())):
                self._marks[pattern] = mark
                by_prefix.setdefault(pattern[:_PREFIX], []).append(pattern)
        self._patterns: Mapping[bytes, list[bytes]] = by_prefix
        self._prefixes = list(by_prefix)
        self._automaton = ahocorasick_rs.BytesAhoCorasick(self._prefixes) if by_prefix else None
        self.longest = max((len(pattern) for pattern in self._marks), default=0)

    def __repr__(self) -> str:
        return f"Needles({len(set(self._marks.values()))} tokens)"

    def find(self, data: bytes | bytearray | memoryview) -> Iterator[tuple[str, int]]:
        """The fingerprint and offset of each token in some bytes."""
        if self._automaton is None:
            return
        view = memoryview(data)
        for index, start, _ in self._automaton.find_matches_as_indexes(data, overlapping=True):
            for pattern in self._patterns[self._prefixes[index]]:
                if view[start : start + len(pattern)] == pattern:
                    yield self._marks[pattern], start
