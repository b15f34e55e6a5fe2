"""Matching known tokens in bytes, in every encoding that a token may be written in."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pme_airflow.leaks.engines import engine_for
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["Match", "TokenMatcher", "encoded_forms"]

#: An encoded form with fewer bytes occurs in any text by chance.
_MIN_FORM_BYTES = 4
#: Bytes that line breaks, their quoted-printable, folded and escaped forms, and UTF-16 insert into a text.
_BETWEEN = rb"(?:=?(?:\r?\n|(?:\\r)?\\n)[ \t]*|\0|\r(?!\n))*"


@dataclass(frozen=True)
class Match:
    """One occurrence of a token in some bytes.

    :param start: the offset of its first byte.
    :param end: the offset after its last byte.
    """

    fingerprint: str
    start: int
    end: int


def encoded_forms(token: str) -> Iterator[bytes]:
    """Yield a token as it may be written: plain, percent-encoded, hex, and base64 at each of its three offsets.

    Encodings that only put bytes in between, such as UTF-16 and wrapped lines, are undone on the data instead.
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
        if len(encoded) < _MIN_FORM_BYTES:
            continue
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))


class TokenMatcher:
    """Finds tokens in bytes. Holds them in clear, in memory alone. Safe to share between threads.

    :param tokens: the tokens to search for; whole tokens are compared, so that there are no false alarms.
    :param engine: ``hyperscan`` or ``ahocorasick``, for tests; by default the faster one that is installed.
    """

    def __init__(self, tokens: Iterable[AccessToken], engine: str | None = None) -> None:
        self._fingerprints: dict[bytes, str] = {}
        for token in tokens:
            self._fingerprints.update(dict.fromkeys(encoded_forms(token.reveal()), fingerprint(token)))
        self._forms = list(self._fingerprints)
        self._engine = engine_for(self._forms, engine) if self._forms else None
        self.longest_form_bytes = max(map(len, self._forms), default=0)

    def __repr__(self) -> str:
        return f"TokenMatcher({len(set(self._fingerprints.values()))} tokens)"

    def find(self, data: bytes) -> list[Match]:
        """Return each occurrence of each token in some bytes, also of one that line breaks interrupt."""
        if self._engine is None:
            return []
        candidates = [self._forms[index] for index in self._engine(data)]
        matches = [match for form in candidates for match in self._whole(data, form)]
        uninterrupted = {match.fingerprint for match in matches}
        for form in candidates:
            if self._fingerprints[form] not in uninterrupted:
                matches += self._interrupted(data, form)
        return sorted(matches, key=lambda match: match.start)

    def _whole(self, data: bytes, form: bytes) -> Iterator[Match]:
        start = data.find(form)
        while start >= 0:
            yield Match(self._fingerprints[form], start, start + len(form))
            start = data.find(form, start + 1)

    def _interrupted(self, data: bytes, form: bytes) -> Iterator[Match]:
        """Yield occurrences with line breaks or zero bytes inside."""
        pattern = re.compile(_BETWEEN.join(re.escape(form[i : i + 1]) for i in range(len(form))))
        for match in pattern.finditer(data):
            yield Match(self._fingerprints[form], match.start(), match.end())
