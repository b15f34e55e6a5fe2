"""Mask known tokens in any text, at a cost that does not grow with their number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from urllib.parse import quote

from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["TokenMask"]

#: How many of its first characters a form of a token is looked up by. A shorter token would be masked in words that
#: only look like it, and is not masked at all.
_START = 8
_MASKED = "***"
_PERCENT_ENCODED = re.compile(r"%[0-9A-F]{2}")


class TokenMask:
    """A set of tokens to mask. It keeps fingerprints of them and hashes of their first characters, not the tokens.

    A text costs one look-up for each character of its long words, and one fingerprint where a token's first
    characters occur, however many tokens there are. Adding is not safe between threads without a lock; masking is,
    also while a token is added.
    """

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._forms: set[str] = set()
        self._lengths: dict[int, tuple[int, ...]] = {}
        self._words: re.Pattern[str] | None = None
        self._shortest = 0

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, token: AccessToken) -> bool:
        """Mask a token in its plain, percent-encoded, JSON-escaped and HTML forms; return whether it is a new one."""
        known = fingerprint(token)
        if known in self._tokens:
            return False
        for form in set(_forms(token.reveal())):
            if len(form) >= _START:
                self._add_form(form)
        self._tokens.add(known)
        return True

    def _add_form(self, form: str) -> None:
        self._forms.add(fingerprint(AccessToken(form)))
        start = hash(form[:_START])
        self._lengths[start] = tuple(sorted({*self._lengths.get(start, ()), len(form)}, reverse=True))
        if self._words is None or len(form) < self._shortest:
            self._shortest = len(form)
            self._words = re.compile(rf"\S{{{self._shortest},}}")

    def apply(self, text: str) -> str:
        """Return a text with each known token in it masked, whatever precedes and follows it."""
        return self._words.sub(self._masked_word, text) if self._words else text

    def apply_bytes(self, data: bytes) -> bytes:
        """Return some UTF-8 with each known token in it masked; other bytes are kept."""
        text = data.decode("utf-8", "surrogateescape")
        masked = self.apply(text)
        return data if masked == text else masked.encode("utf-8", "surrogateescape")

    def _masked_word(self, match: re.Match[str]) -> str:
        word, kept, position, pieces = match[0], 0, 0, []
        while position <= len(word) - _START:
            length = self._length_at(word, position)
            if length:
                pieces += [word[kept:position], _MASKED]
                kept = position = position + length
            else:
                position += 1
        return "".join([*pieces, word[kept:]])

    def _length_at(self, word: str, position: int) -> int:
        """Return the length of the token that begins at a position of a word, or 0."""
        for length in self._lengths.get(hash(word[position : position + _START]), ()):
            form = word[position : position + length]
            if len(form) == length and fingerprint(AccessToken(form)) in self._forms:
                return length
        return 0


def _forms(token: str) -> Iterator[str]:
    """Yield a token as texts that carry a link write it: addresses, addresses in addresses, JSON of Python and of PHP,
    and HTML."""
    yield token
    for encoded in (quote(token, safe=""), quote(token)):
        yield encoded
        yield _PERCENT_ENCODED.sub(lambda code: code[0].lower(), encoded)
    yield quote(quote(token, safe=""), safe="")
    as_json = json.dumps(token)[1:-1]
    yield as_json
    yield as_json.replace("/", "\\/")
    yield json.dumps(token, ensure_ascii=False)[1:-1]
    yield escape(token)
