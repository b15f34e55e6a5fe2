"""Scanners' reports: what each says was found. BoundedList apart by content, never by name; a guess is never silent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import PMEReportError
from pme_airflow.leaks.encodings import tokens_in
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["MAX_REPORT_BYTES", "Findings", "merged", "read_report"]

#: A larger report is refused: hand it in parts.
MAX_REPORT_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 200
_MASK = re.compile(r"\*{4,}|\bREDACTED\b")
_SHA1 = re.compile(r"[0-9a-f]{40}\Z", re.ASCII)


@dataclass(frozen=True)
class Findings:
    """What a report says.

    :param form: the form it was read as.
    :param total: how many findings it lists.
    :param fingerprints: of the tokens that stand in it.
    :param sha1: hex SHA-1 digests of what a scanner captured, where it tells no more.
    """

    form: str
    total: int
    fingerprints: tuple[str, ...] = ()
    sha1: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """The findings as JSON; fingerprints and digests, never a token."""
        return {"form": self.form, "total": self.total, "fingerprints": list(self.fingerprints),
                "sha1": sorted(self.sha1)}  # fmt: skip

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Findings:
        """Read what :meth:`as_json` wrote."""
        return cls(str(said["form"]), int(said["total"]), tuple(said["fingerprints"]), frozenset(said["sha1"]))


def merged(reports: Iterable[Findings | None]) -> Findings | None:
    """Several reports as one; ``None`` where there is none."""
    read = [report for report in reports if report is not None]
    if len(read) < 2:
        return read[0] if read else None
    marks = tuple(dict.fromkeys(mark for report in read for mark in report.fingerprints))
    sha1 = frozenset(digest for report in read for digest in report.sha1)
    return Findings(", ".join(report.form for report in read), sum(report.total for report in read), marks, sha1)


def read_report(raw: bytes) -> Findings:
    """Read a report in any known form, or as plain text.

    :raises PMEReportError: where it is in no known form, cut off, too big, or of a newer major version.
    """
    if len(raw) > MAX_REPORT_BYTES:
        raise PMEReportError(
            f"findings: {len(raw)} bytes is over the limit of {MAX_REPORT_BYTES}. Hand it in parts, or scan the "
            "sources with `pme-airflow scan`."
        )
    text = _text(raw)
    body = text.strip()
    if not body:
        raise PMEReportError("findings: the report is empty. Did the scanner end well?")
    if body[0] in "[{":
        return _read_json(body)
    return _from_texts("plain text", body.splitlines())


def _text(raw: bytes) -> str:
    for start, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if raw.startswith(start):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError:
                break
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise PMEReportError("findings: is neither UTF-8 nor marked UTF-16 text. Convert it, or scan it as a file.")


def _read_json(body: str) -> Findings:
    document: Any = None
    problem = ""
    try:
        document = json.loads(body)
    except RecursionError:
        problem = "is nested too deep to be a report"
    except ValueError as error:
        lines = _json_lines(body)
        if lines is not None:
            return _trufflehog(lines)
        where = getattr(error, "lineno", "?")
        problem = f"is JSON up to line {where}, then broken or cut off. Run the scanner again"
    if problem:
        raise PMEReportError(f"findings: {problem}.")
    for recognises, reader in _FORMS:
        if recognises(document):
            return reader(document)
    shape = f"an object with the keys {_names(document)}" if isinstance(document, dict) else "a list"
    raise PMEReportError(
        f"findings: {shape} is no report known here. Known are gitleaks, SARIF 2.1, TruffleHog, "
        "GitHub secret scanning, detect-secrets, Kingfisher, secretlint and plain text."
    )


def _json_lines(body: str) -> list[Any] | None:
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    try:
        return [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None


def _names(document: Mapping[str, Any]) -> str:
    """Keys that are plain words; anything else might be a secret."""
    plain = [key for key in list(document)[:40] if re.fullmatch(r"[A-Za-z_$][A-Za-z_$-]{0,19}", key)]
    return ", ".join(plain[:8]) or "none that are words"


# ---------------------------------------------------------------- the forms


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _list_with(*keys: str) -> Callable[[Any], bool]:
    def recognises(document: Any) -> bool:
        entries = _dicts(document)
        return bool(entries) and all(any(key in entry for entry in entries) for key in keys)

    return recognises


def _object_with(*keys: str) -> Callable[[Any], bool]:
    return lambda document: isinstance(document, dict) and all(key in document for key in keys)


def _gitleaks(document: Any) -> Findings:
    entries = _dicts(document)
    return _unmasked(_from_values("gitleaks", entries, ("Secret", "Match", "Line")), entries)


def _sarif(document: Any) -> Findings:
    version = str(document.get("version"))
    if not re.match(r"2\.1(\.|$)", version):
        shown = version if re.fullmatch(r"[0-9.]{1,12}", version) else "unknown"
        raise PMEReportError(f"findings: SARIF of version {shown}, and 2.1 is known here. Export it as SARIF 2.1.0.")
    results = [result for run in _dicts(document.get("runs")) for result in _dicts(run.get("results"))]
    return _unmasked(_from_values("SARIF", results, None), results)


def _trufflehog(document: Any) -> Findings:
    entries = _dicts(document if isinstance(document, list) else [document])
    found = [entry for entry in entries if "DetectorName" in entry or "Raw" in entry or "SourceMetadata" in entry]
    if not found:
        raise PMEReportError("findings: JSON lines in no known form. Known is TruffleHog's (--json).")
    return _from_values("TruffleHog", found, ("Raw", "RawV2", "Redacted"))


def _github_alerts(document: Any) -> Findings:
    return _from_values("GitHub secret scanning alerts", _dicts(document), ("secret",))


def _github_partner(document: Any) -> Findings:
    return _from_values("GitHub partner message", _dicts(document), ("token",))


def _github_webhook(document: Any) -> Findings:
    if "secret" in document["alert"]:
        return _github_alerts([document["alert"]])
    raise PMEReportError(
        "findings: a GitHub secret_scanning_alert webhook carries no secret. Fetch the alert with the REST API "
        "(GET /repos/{owner}/{repo}/secret-scanning/alerts/{number}) and hand that in."
    )


def _detect_secrets(document: Any) -> Findings:
    version = str(document.get("version", ""))
    if version and version.split(".")[0] not in ("0", "1"):
        shown = version if re.fullmatch(r"[0-9.]{1,12}", version) else "unknown"
        raise PMEReportError(f"findings: a detect-secrets baseline of version {shown}, and 1 is known here.")
    results = document["results"] if isinstance(document["results"], dict) else {}
    entries = [entry for per_file in results.values() for entry in _dicts(per_file)]
    digests = {str(entry.get("hashed_secret", "")).lower() for entry in entries}
    return Findings("detect-secrets", len(entries), (), frozenset(d for d in digests if _SHA1.match(d)))


def _secretlint(document: Any) -> Findings:
    """secretlint's own JSON: it masks what it captured, and holds the source with the range of each finding."""
    messages = [(file, message) for file in _dicts(document) for message in _dicts(file.get("messages"))]
    entries = [
        {**message, "captured": _range_of(file.get("sourceContent"), message.get("range"))}
        for file, message in messages
    ]
    return _unmasked(_from_values("secretlint", entries, None), entries)


def _range_of(source: Any, span: Any) -> str:
    if not isinstance(source, str) or not isinstance(span, list) or len(span) != 2:
        return ""
    start, end = span
    return source[start:end] if type(start) is int and type(end) is int else ""


def _unmasked(findings: Findings, entries: list[dict[str, Any]]) -> Findings:
    """Findings in which something can be read; "none is ours" must not be said of stars.

    :raises PMEReportError: where every finding is masked.
    """
    texts = [_strings(entry) for entry in entries]
    masked = sum(
        1
        for held in texts
        if any(_MASK.search(text.reveal()) for text in held) and not any(tokens_in(text.reveal()) for text in held)
    )
    if not entries or masked < len(entries):
        return findings
    raise PMEReportError(
        f"findings: all {masked} findings of this {findings.form} report are masked, so nothing can be told of them. "
        "Run the scanner without masking (gitleaks without --redact, secretlint with --no-maskSecrets), or "
        "`pme-airflow scan` over the same files."
    )


def _kingfisher(document: Any) -> Findings:
    entries = _dicts(document["findings"]) if isinstance(document, dict) else _dicts(document)
    return _from_values("Kingfisher", entries, None)


_FORMS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Findings]], ...] = (
    (_object_with("runs", "version"), _sarif),
    (_object_with("results", "plugins_used"), _detect_secrets),
    (_object_with("alert", "action"), _github_webhook),
    (_object_with("findings"), _kingfisher),
    (_list_with("rule", "finding"), _kingfisher),
    (_object_with("SourceMetadata"), _trufflehog),
    (_list_with("SourceMetadata"), _trufflehog),
    (_list_with("RuleID"), _gitleaks),
    (_list_with("filePath", "messages"), _secretlint),
    (_list_with("secret_type", "secret"), _github_alerts),
    (_object_with("secret_type", "secret"), lambda document: _github_alerts([document])),
    (_list_with("token", "type"), _github_partner),
    (lambda document: document == [], lambda document: Findings("an empty list of findings", 0)),
)


def _from_values(form: str, entries: list[dict[str, Any]], keys: tuple[str, ...] | None) -> Findings:
    """The tokens in some fields of each finding, or in all of them."""
    texts: list[SecretStr] = []
    for entry in entries:
        if keys is None:
            texts += _strings(entry)
        else:
            texts += [SecretStr(value) for key in keys if isinstance(value := entry.get(key), str)]
    return Findings(form, len(entries), _marks(texts))


def _from_texts(form: str, lines: list[str]) -> Findings:
    return Findings(
        form, sum(1 for line in lines if line.strip()), _marks([SecretStr("\n".join(lines)), *map(SecretStr, lines)])
    )


def _strings(value: Any, depth: int = 0) -> list[SecretStr]:
    if depth > _MAX_DEPTH:
        return []
    if isinstance(value, str):
        return [SecretStr(value)]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _strings(inner, depth + 1)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner, depth + 1)]
    return []


def _marks(texts: Iterable[SecretStr]) -> tuple[str, ...]:
    marks: dict[str, None] = {}
    for text in texts:
        for token in tokens_in(text.reveal(), bare=True):
            marks[token if _is_mark(token) else fingerprint(AccessToken(token))] = None
        marks.update((mark.lower(), None) for mark in re.findall(r"sha256:[0-9a-fA-F]{64}", text.reveal()))
    return tuple(marks)


def _is_mark(text: str) -> bool:
    return text.startswith("sha256:")
