"""Find the tokens of a model's links in what a target shows, read back as text."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import islice
from urllib.parse import unquote

from pme_airflow.leaks.encodings import tokens_in
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.html_tokens import attribute_value

__all__ = ["all_tokens", "fingerprints_in", "tokens_of"]

#: A link is one word of a text: HTML, JSON and prose end it with one of these.
_WORD = re.compile(r"[^\s\"'<>]+")
#: A whole field that may be a token, and how many of them are compared.
_FIELD = re.compile(r"[A-Za-z0-9._~-]{8,512}")
_MAX_FIELDS = 20_000
#: Characters of a text that are searched at once, and the overlap of two such parts: more than the length of a link.
_STRETCH, _OVERLAP = 500_000, 5_000


def tokens_of(text: str, model_id: str) -> set[str]:
    """Return the tokens of a model's links in a page or a JSON text, however they are escaped, in linear time."""
    if model_id not in text:
        return set()
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    plain = attribute_value(text)
    names_model = re.compile(rf"[?&;]m={re.escape(model_id)}(?![A-Za-z0-9])")
    found: set[str] = set()
    for word in _WORD.finditer(plain):
        if model_id in word[0] and (names_model.search(word[0]) or names_model.search(unquote(word[0]))):
            found |= all_tokens(word[0])
    return found


def all_tokens(text: str) -> set[str]:
    """Return the tokens of all links in a text of any length."""
    stretches = (text[start : start + _STRETCH + _OVERLAP] for start in range(0, len(text), _STRETCH))
    return {token for stretch in stretches for token in tokens_in(stretch)}


def fingerprints_in(text: str, model_id: str) -> set[str]:
    """Return the fingerprints of a model's tokens in a text, and of the fields that may be a token by themselves."""
    fields = {match[0] for match in islice(_FIELD.finditer(text), _MAX_FIELDS)}
    return {fingerprint(AccessToken(token)) for token in tokens_of(text, model_id) | fields}
