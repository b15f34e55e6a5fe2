"""Finding mistakes in a client id and a client secret before they are sent.

A secret with a newline at its end is refused by the API like a wrong one. Resetting it would not help, and would lock
the links that were sealed with it; so the mistake is named first. No sentence here contains a value.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

__all__ = ["certain_mistake", "possible_mistakes"]

_QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "«»", "<>")
_MASK = re.compile(r"[*•●xX]{3,}\Z")
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_TEMPLATE = re.compile(r"\$\{[^}]*\}\Z|\{\{.*\}\}\Z|\$[A-Z_]{3,}\Z|<[a-z][a-z_ -]*>\Z", re.DOTALL)
_BYTES = re.compile(r"""b(?:'.*'|".*")\Z""", re.DOTALL)
_JSON_OBJECT = re.compile(r'\{\s*"[^"]{1,200}"\s*:.*\}\Z', re.DOTALL)
#: How secrets are named in the stores of others, in place of their values.
_REFERENCE = re.compile(r"arn:aws[a-z-]*:|(?:aws|azure|gcp|kv|ssm|vault):\S|projects/[^/]+/secrets/", re.IGNORECASE)
_NOTHING = frozenset({"none", "null", "nil", "undefined", "changeme", "change-me", "todo"})
_ASSIGNMENT = re.compile(r"(?:export )?[A-Z][A-Z0-9_]{2,60}=.")
_MIN_DECODED = 8


def certain_mistake(client_id: str, secret: str) -> str | None:
    """Return what cannot be right in an id or secret, with the cure, by the field's name in the connection's form."""
    if (mistake := _mistake_in(client_id)) is not None:
        return f"Client ID: {mistake}."
    mistake = _mistake_in(secret)
    if mistake is None and secret == client_id:
        mistake = "is the same as the client id. Enter the client secret"
    return None if mistake is None else f"Client secret: {mistake}. The secret need not be reset."


def _mistake_in(value: str) -> str | None:
    return next((mistake for find in _CERTAIN if (mistake := find(value)) is not None), None)


def _ends_of_line(value: str) -> str | None:
    if value == value.strip("\r\n") or not value.strip():
        return None
    inner = value.strip("\r\n")
    where = "ends" if value.startswith(inner[:1]) else "begins"
    return (
        f"{where} with a newline ({len(value)} characters, {len(inner)} without it), as `echo` and editors add. Enter "
        "it without the newline (`printf %s` adds none)"
    )


def _spaces_around(value: str) -> str | None:
    stripped = _visible_ends(value)
    if value == stripped or not stripped:
        return None
    return (
        f"has spaces or invisible characters at its start or end ({len(value)} characters, {len(stripped)} without "
        "them). Enter it without them"
    )


def _control_characters(value: str) -> str | None:
    hidden = sum(1 for character in value if _is_invisible(character))
    return f"contains {hidden} control or invisible characters. Copy it again, as one line" if hidden else None


def _lone_surrogates(value: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return "contains bytes that are not UTF-8. Copy it again"
    return None


def _quotes(value: str) -> str | None:
    quoted = len(value) > 2 and any(value[0] == pair[0] and value[-1] == pair[-1] for pair in _QUOTES)
    return "stands in quotes or brackets. Enter it without them" if quoted else None


def _mask(value: str) -> str | None:
    return "is a mask (such as ***), not the value itself. Enter the value" if _MASK.match(value) else None


def _url(value: str) -> str | None:
    return "looks like an address (…://…). Addresses belong into API address" if _URL.match(value) else None


def _template(value: str) -> str | None:
    return "looks like a placeholder that was never filled in. Enter the value" if _TEMPLATE.match(value) else None


def _literal(value: str) -> str | None:
    if _BYTES.match(value):
        return "is written as Python's bytes (b'…'). Enter what is between the quotes"
    if _JSON_OBJECT.match(value):
        return "is a JSON object, as secret stores keep several values in. Enter the one value alone"
    return None


def _not_the_value(value: str) -> str | None:
    if value.lower() in _NOTHING:
        return "is a word for no value. Enter the value"
    if _REFERENCE.match(value):
        return "names an entry of a secret store, which Airflow does not look up here. Enter the value"
    return None


_CERTAIN: tuple[Callable[[str], str | None], ...] = (
    _ends_of_line, _spaces_around, _lone_surrogates, _control_characters, _mask, _template, _quotes, _url,
    _literal, _not_the_value,
)  # fmt: skip


def possible_mistakes(client_id: str, secret: str) -> list[str]:
    """Return what may be a mistake in a secret; for when the API has refused it, since it may also be right."""
    found = []
    if client_id and client_id in secret:
        found.append("contains the client id")
    if secret.lower().startswith(("bearer ", "basic ")):
        found.append("begins like an Authorization header")
    if _is_base64_of_text(secret):
        found.append("looks like base64 of a text, as Kubernetes secrets are stored; enter the decoded text")
    if unquote(secret) != secret:
        found.append("looks percent-encoded (%XX), which only the URI form of a connection decodes")
    if _ASSIGNMENT.match(secret):
        found.append("looks like a line of a shell or .env file; enter what follows the =")
    if re.search(r"&(?:amp|lt|gt|quot|#[0-9]+);", secret):
        found.append("contains HTML escapes (&…;)")
    if re.search(r"\\[nrtu\"\\]", secret):
        found.append("contains backslash escapes, such as JSON writes")
    return found


def _is_base64_of_text(value: str) -> bool:
    if len(value) % 4 or not re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", value):
        return False
    try:
        decoded = base64.b64decode(value, altchars=b"-_" if set(value) & set("-_") else None, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(decoded) >= _MIN_DECODED and all(32 <= byte < 127 or byte in b"\r\n" for byte in decoded)


def _visible_ends(value: str) -> str:
    """Return a value without spaces and invisible characters at its ends."""
    kept = [index for index, character in enumerate(value) if not (character.isspace() or _is_invisible(character))]
    return value[kept[0] : kept[-1] + 1] if kept else ""


def _is_invisible(character: str) -> bool:
    """Return whether a character is a control or format character, such as NUL, a tab or a zero-width space."""
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
