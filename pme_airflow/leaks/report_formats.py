"""The formats of scanners' reports: how each one's findings are recognised, and where in a finding its secret is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FORMATS", "Format", "Secret", "format_of", "secrets_in", "strings_in"]

_SHA1 = re.compile(r"[0-9a-f]{40}\Z", re.ASCII)

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Secret:
    """The fields of one finding that contain or describe the secret.

    :param texts: the fields that hold it, masked or not.
    :param context: the fields that hold the text around it.
    :param sha1: its SHA-1 digest, where the scanner reports nothing else.
    """

    texts: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    sha1: str = ""


@dataclass(frozen=True, eq=False)
class Format:
    """A format of reports.

    :param name: the scanner's name.
    :param path: the keys that lead to a finding; ``*`` for an element of a list or any key.
    :param keys: keys that each finding has.
    :param secrets: yields the secrets of an entry, one a finding.
    :param unmask: how to run the scanner so that it does not mask.
    """

    name: str
    path: tuple[str, ...]
    keys: frozenset[str]
    secrets: Callable[[Entry], Iterator[Secret]]
    unmask: str = "Run the scanner without masking"


def format_of(path: tuple[str, ...], entry: object) -> Format | None:
    """Return the format of an entry at a path of a report; ``None`` if it is unknown."""
    if not isinstance(entry, Mapping):
        return None
    flat = ("*",) if path in ((), ("*", "*")) else path
    keys = entry.keys()
    for form in _FORMATS_AT.get(flat, ()):
        if keys >= form.keys:
            return form
    return None


def secrets_in(form: Format, entry: Entry) -> list[Secret]:
    """Return the secrets of an entry, one a finding."""
    return list(form.secrets(entry))


def strings_in(value: object) -> Iterator[str]:
    """Yield each string in a JSON value, keys included, however deep."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            stack += [part for pair in item.items() for part in pair]
        elif isinstance(item, list):
            stack += item


def _texts(value: object) -> tuple[str, ...]:
    """Return a field's text; each of its texts where the key occurred more than once."""
    if isinstance(value, list):
        return tuple(text for text in value if isinstance(text, str))
    return (value,) if isinstance(value, str) else ()


def _fields(secret: tuple[str, ...], context: tuple[str, ...] = ()) -> Callable[[Entry], Iterator[Secret]]:
    """Return a reader of formats that hold each secret in fields of its own."""

    def secrets(entry: Entry) -> Iterator[Secret]:
        yield Secret(_texts_at(entry, secret), _texts_at(entry, context))

    return secrets


def _texts_at(entry: Entry, keys: tuple[str, ...]) -> tuple[str, ...]:
    texts: tuple[str, ...] = ()
    for key in keys:
        if key in entry:
            texts += _texts(entry[key])
    return texts


def _kingfisher(entry: Entry) -> Iterator[Secret]:
    finding = entry.get("finding")
    snippet = finding.get("snippet") if isinstance(finding, Mapping) else None
    yield Secret(_texts(snippet), tuple(strings_in(finding)))


def _sarif(entry: Entry) -> Iterator[Secret]:
    """Read a SARIF result: the secret is in a location's snippet, or in the message as secretlint writes it."""
    snippets = tuple(text for snippet in _values_of(entry, "snippet") for text in _snippet_texts(snippet))
    message = entry.get("message")
    text = _texts(message.get("text")) if isinstance(message, Mapping) else ()
    found = tuple(part for part in text if part.startswith("found "))
    yield Secret(snippets or found, tuple(strings_in(entry)))


def _snippet_texts(snippet: object) -> tuple[str, ...]:
    return _texts(snippet.get("text")) if isinstance(snippet, Mapping) else ()


def _values_of(value: object, name: str) -> Iterator[object]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            yield from (part for key, part in item.items() if key == name)
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def _detect_secrets(entry: Entry) -> Iterator[Secret]:
    digest = str(entry.get("hashed_secret")).lower()
    yield Secret(sha1=digest if _SHA1.match(digest) else "")


def _secretlint(entry: Entry) -> Iterator[Secret]:
    """Read a file of secretlint's JSON: it masks each secret, but contains the source and the range of each finding."""
    messages = entry.get("messages")
    for message in messages if isinstance(messages, list) else [None]:
        fields = message if isinstance(message, Mapping) else {}
        captured = _range(entry.get("sourceContent"), fields.get("range"))
        yield Secret((captured,) if captured else (), tuple(strings_in(message)))


def _range(source: object, span: object) -> str:
    """Return a range of a text; its offsets count UTF-16 units, as JavaScript's do."""
    if not isinstance(source, str) or not isinstance(span, list) or len(span) != 2:
        return ""
    start, end = span
    if type(start) is not int or type(end) is not int or not 0 <= start <= end:
        return ""
    if source.isascii():
        return source[start:end]
    units = source.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end]
    return units.decode("utf-16-le", "replace")


_AT_TOP = ("*",)

FORMATS: tuple[Format, ...] = (
    Format("gitleaks", _AT_TOP, frozenset({"RuleID"}), _fields(("Secret",), ("Match", "Line", "Context")),
           "Run gitleaks without --redact"),
    Format("TruffleHog", _AT_TOP, frozenset({"SourceMetadata"}), _fields(("Raw", "RawV2"))),
    Format("TruffleHog", _AT_TOP, frozenset({"DetectorName"}), _fields(("Raw", "RawV2"))),
    Format("GitHub secret scanning alerts", _AT_TOP, frozenset({"secret_type"}), _fields(("secret",)),
           "Fetch the alerts without hide_secret"),
    Format("secretlint", _AT_TOP, frozenset({"filePath", "messages"}), _secretlint,
           "Run secretlint with --no-maskSecrets"),
    Format("Kingfisher", _AT_TOP, frozenset({"rule", "finding"}), _kingfisher, "Run kingfisher without --redact"),
    Format("GitHub partner message", _AT_TOP, frozenset({"token", "type"}), _fields(("token",))),
    Format("SARIF", ("runs", "*", "results", "*"), frozenset(), _sarif,
           "Run the scanner without masking (gitleaks without --redact, secretlint with --no-maskSecrets)"),
    Format("detect-secrets", ("results", "*", "*"), frozenset({"hashed_secret"}), _detect_secrets),
    Format("Kingfisher", ("findings", "*"), frozenset(), _kingfisher, "Run kingfisher without --redact"),
    Format("GitLab secret detection", ("vulnerabilities", "*"), frozenset(),
           _fields(("raw_source_code_extract",), ("message", "description"))),
)  # fmt: skip
_FORMATS_AT = {path: [form for form in FORMATS if form.path == path] for path in {form.path for form in FORMATS}}
