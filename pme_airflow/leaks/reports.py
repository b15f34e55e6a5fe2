"""Reading secret scanners' reports. A report's format is recognised by its content, never by its file name."""

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

#: A larger report is refused: split it.
MAX_REPORT_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 200
_MASK = re.compile(r"\*{4,}|\bREDACTED\b")
_SHA1 = re.compile(r"[0-9a-f]{40}\Z", re.ASCII)


@dataclass(frozen=True)
class Findings:
    """What a report contains.

    :param form: the format it was read as.
    :param total: how many findings it lists.
    :param fingerprints: the fingerprints of the tokens in it.
    :param sha1: hex SHA-1 digests of secrets, from scanners that report nothing else of them.
    """

    form: str
    total: int
    fingerprints: tuple[str, ...] = ()
    sha1: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON: fingerprints and digests, never a token."""
        return {"form": self.form, "total": self.total, "fingerprints": list(self.fingerprints),
                "sha1": sorted(self.sha1)}  # fmt: skip

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Findings:
        """Read what :meth:`as_json` wrote."""
        return cls(str(value["form"]), int(value["total"]), tuple(value["fingerprints"]), frozenset(value["sha1"]))


def merged(reports: Iterable[Findings | None]) -> Findings | None:
    """Merge several reports into one; ``None`` if there is none."""
    read = [report for report in reports if report is not None]
    if len(read) < 2:
        return read[0] if read else None
    fingerprints = tuple(dict.fromkeys(known for report in read for known in report.fingerprints))
    sha1 = frozenset(digest for report in read for digest in report.sha1)
    return Findings(", ".join(report.form for report in read), sum(report.total for report in read), fingerprints, sha1)


def read_report(raw: bytes) -> Findings:
    """Read a report in any known format, or as plain text.

    :raises PMEReportError: if its format is unknown or of a newer major version, or it is cut off or too large.
    """
    if len(raw) > MAX_REPORT_BYTES:
        raise PMEReportError(
            f"findings: {len(raw)} bytes is over the limit of {MAX_REPORT_BYTES}. Split it, or scan the "
            "sources with `pme-airflow scan`."
        )
    text = _text(raw)
    body = text.strip()
    if not body:
        raise PMEReportError("findings: the report is empty. Check that the scanner finished.")
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
    raise PMEReportError(
        "findings: the report is neither UTF-8 nor UTF-16 text with a byte order mark. Convert it to UTF-8."
    )


def _read_json(body: str) -> Findings:
    document: Any = None
    problem = ""
    try:
        document = json.loads(body)
    except RecursionError:
        problem = "the report is nested too deep"
    except ValueError as error:
        lines = _json_lines(body)
        if lines is not None:
            return _trufflehog(lines)
        where = getattr(error, "lineno", "?")
        problem = f"the report is JSON up to line {where}, then broken or cut off. Run the scanner again"
    if problem:
        raise PMEReportError(f"findings: {problem}.")
    for recognises, reader in _FORMS:
        if recognises(document):
            return reader(document)
    shape = f"an object with the keys {_names(document)}" if isinstance(document, dict) else "a list"
    raise PMEReportError(
        f"findings: {shape} is no known report format. Known formats are gitleaks, SARIF 2.1, TruffleHog, "
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
    """Return the keys that are plain words; any other key might be a secret."""
    plain = [key for key in list(document)[:40] if re.fullmatch(r"[A-Za-z_$][A-Za-z_$-]{0,19}", key)]
    return ", ".join(plain[:8]) or "none that are words"


# ---------------------------------------------------------------- formats


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
        raise PMEReportError(f"findings: SARIF version {shown} is not supported. Export the report as SARIF 2.1.0.")
    results = [result for run in _dicts(document.get("runs")) for result in _dicts(run.get("results"))]
    return _unmasked(_from_values("SARIF", results, None), results)


def _trufflehog(document: Any) -> Findings:
    entries = _dicts(document if isinstance(document, list) else [document])
    found = [entry for entry in entries if "DetectorName" in entry or "Raw" in entry or "SourceMetadata" in entry]
    if not found:
        raise PMEReportError("findings: these JSON lines are no known report format. TruffleHog's (--json) is.")
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
        "(GET /repos/{owner}/{repo}/secret-scanning/alerts/{number}) and pass that."
    )


def _detect_secrets(document: Any) -> Findings:
    version = str(document.get("version", ""))
    if version and version.split(".")[0] not in ("0", "1"):
        shown = version if re.fullmatch(r"[0-9.]{1,12}", version) else "unknown"
        raise PMEReportError(f"findings: a detect-secrets baseline of version {shown} is not supported; version 1 is.")
    results = document["results"] if isinstance(document["results"], dict) else {}
    entries = [entry for per_file in results.values() for entry in _dicts(per_file)]
    digests = {str(entry.get("hashed_secret", "")).lower() for entry in entries}
    return Findings("detect-secrets", len(entries), (), frozenset(d for d in digests if _SHA1.match(d)))


def _secretlint(document: Any) -> Findings:
    """Read secretlint's JSON: it masks each secret, but contains the source text and the range of each finding."""
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
    """Return the findings unless all of them are masked, since those cannot be compared with the ledger.

    :raises PMEReportError: if every finding is masked.
    """
    texts = [_strings(entry) for entry in entries]
    masked = sum(
        1
        for fields in texts
        if any(_MASK.search(text.reveal()) for text in fields) and not any(tokens_in(text.reveal()) for text in fields)
    )
    if not entries or masked < len(entries):
        return findings
    raise PMEReportError(
        f"findings: all {masked} findings of this {findings.form} report are masked and cannot be compared. "
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
    """Collect the tokens in some fields of each finding, or in all of them."""
    texts: list[SecretStr] = []
    for entry in entries:
        if keys is None:
            texts += _strings(entry)
        else:
            texts += [SecretStr(value) for key in keys if isinstance(value := entry.get(key), str)]
    return Findings(form, len(entries), _fingerprints(texts))


def _from_texts(form: str, lines: list[str]) -> Findings:
    texts = [SecretStr("\n".join(lines)), *map(SecretStr, lines)]
    return Findings(form, sum(1 for line in lines if line.strip()), _fingerprints(texts))


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


def _fingerprints(texts: Iterable[SecretStr]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in texts:
        for token in tokens_in(text.reveal(), bare=True):
            found[token if _is_fingerprint(token) else fingerprint(AccessToken(token))] = None
        found.update((known.lower(), None) for known in re.findall(r"sha256:[0-9a-fA-F]{64}", text.reveal()))
    return tuple(found)


def _is_fingerprint(text: str) -> bool:
    return text.startswith("sha256:")
