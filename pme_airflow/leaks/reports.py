"""Reading secret scanners' reports. A report's format is recognised by its content, never by its file name.

A report is read whole, or an error says what of it was not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pme_airflow.errors import PMEReportError
from pme_airflow.leaks.encodings import SHORTEST_TOKEN, candidates_in, has_masked_token, is_masked, tokens_in
from pme_airflow.leaks.findings import Findings, PartialReportError, merged
from pme_airflow.leaks.json_stream import Element, EmptyDocuments, End, Fields, Text, read_events
from pme_airflow.leaks.report_formats import FORMATS, Format, Secret, format_of, secrets_in, strings_in
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["MAX_CANDIDATES", "MAX_REPORT_BYTES", "Findings", "PartialReportError", "merged", "read_report"]

#: A larger report is refused: split it.
MAX_REPORT_BYTES = 64 * 1024 * 1024
#: A report is not read further after so many words that may be tokens.
MAX_CANDIDATES = 100_000
#: A report is not read further after so many findings, lists, objects and lines of one word.
MAX_ENTRIES = 500_000
_MAX_SHOWN = 5
_FINGERPRINT = re.compile(r"sha256:[0-9a-fA-F]{64}")
#: A line that is one word, alone or behind a label, as scanners print a secret: ``Raw result: k3f9…``.
_LINE_WORD = re.compile(
    r"^[ \t]{0,80}(?:[A-Za-z][A-Za-z ]{0,30}:)?[ \t\"'`<]{0,80}([A-Za-z0-9._~+/=-]{8,2000})"
    r"[\"'`>,;]{0,4}[ \t\r]{0,80}$",
    re.MULTILINE,
)
#: Reports of gitleaks in its other forms: CSV, and JUnit's XML with a finding in each failure.
_TABLE = re.compile(r"(?:^|\n)[ \t]{0,80}(?:RuleID,Commit,File,|<testsuites?[ >])")
#: A value in one of these that is masked, whole or but for its first characters.
_MASKED_VALUE = re.compile(r"[,\"=;][^\s,\"&<=;]{0,40}(?:REDACTED|\*{3}|\.{3})(?=[,\"&\r]|$)")
#: A line on which a scanner prints a secret that it masked.
_MASKED_LINE = re.compile(
    r"^[ \t]{0,80}(?:Secret|Finding|Match|Raw result)[ \t]{0,80}:[^\n]{0,2000}(?:REDACTED|\*{3}|\.{3}[ \t\r]{0,80}$)",
    re.MULTILINE,
)
_LINE = re.compile(r"^[^\S\n]{0,1000}\S", re.MULTILINE)
#: Characters of a long line that are read again with its next part, so that no token is cut.
_TAIL = 8192
#: Characters of two parts of a text between which a wrapped token is searched for.
_SEAM = 1024
_KNOWN = ", ".join(dict.fromkeys(form.name for form in FORMATS)) + " and plain text"


def read_report(raw: bytes) -> Findings:
    """Read a report in any known format, or as plain text.

    :raises PartialReportError: if a part was not read: it is broken or cut off, or its secrets are masked or missing;
        the error has the findings that were read.
    :raises PMEReportError: if nothing was read: its format is unknown or of a newer major version, or it is too large.
    """
    if len(raw) > MAX_REPORT_BYTES:
        raise PMEReportError(
            f"findings: {len(raw)} bytes is over the limit of {MAX_REPORT_BYTES}. Split it, or scan the "
            "sources with `pme-airflow scan`."
        )
    if not raw.strip(b"\0\t\n\r \xef\xbb\xbf\xfe\xff"):
        raise PMEReportError("findings: the report is empty. Check that the scanner finished.")
    reader = _Reader()
    reader.read(raw)
    return reader.findings()


class _Reader:
    """Collects what the documents and lines of one report contain."""

    def __init__(self) -> None:
        self._totals: Counter[str] = Counter()
        self._unread: Counter[Format] = Counter()
        self._unknown = 0
        self._shape = ""
        self._entries = 0
        self._seen = 0
        self._lines = 0
        self._masked_lines = 0
        self._is_table = False
        self._problems: list[str] = []
        self._fingerprints: dict[str, None] = {}
        self._sha1: set[str] = set()
        self._tail = ""
        self._before = ""

    def read(self, raw: bytes) -> None:
        """Read a report."""
        for event in read_events(raw):
            self._seen += 1
            if not isinstance(event, Text):
                self._before = ""
            if isinstance(event, Element):
                self._entry(event.path, event.value)
            elif isinstance(event, End):
                self._end(event)
            elif isinstance(event, Text):
                self._text(event.text)
            elif isinstance(event, Fields):
                self._broken_object(event.values)
            elif isinstance(event, EmptyDocuments):
                self._empty_documents(event)
            else:
                self._problems.append(f"line {event.line} {event.reason}")
            if self._seen > MAX_ENTRIES or len(self._fingerprints) > MAX_CANDIDATES:
                self._problems.append(
                    f"the report contains over {MAX_ENTRIES} entries or {MAX_CANDIDATES} words that may be tokens, and "
                    "was not read further. Split it"
                )
                return

    def findings(self) -> Findings:
        """Return what was read.

        :raises PMEReportError: if a part was not read.
        """
        total = sum(self._totals.values()) if self._totals else self._lines
        forms = ", ".join(self._totals) or "plain text"
        unread = sum(self._unread.values()) + self._masked_lines
        findings = Findings(forms, total, tuple(self._fingerprints), frozenset(self._sha1), unread)
        problems = [*self._problems[:_MAX_SHOWN], *self._unread_parts()]
        if not problems:
            return findings
        if len(self._problems) > _MAX_SHOWN:
            problems.append(f"and {len(self._problems) - _MAX_SHOWN} more parts were not read")
        message = f"findings: {'; '.join(problems)}."
        if self._fingerprints or self._sha1 or sum(self._totals.values()) > sum(self._unread.values()):
            raise PartialReportError(f"{message} What could be read of the report was.", findings)
        raise PMEReportError(message)

    def _unread_parts(self) -> Iterator[str]:
        for form, count in self._unread.items():
            if count:
                yield (
                    f"{count} of {self._totals[form.name]} {form.name} findings contain no readable secret: it is "
                    f"masked or missing. {form.unmask}, or search the same files with `pme-airflow scan`"
                )
        if self._masked_lines:
            yield f"{self._masked_lines} lines contain a masked secret. Run the scanner without masking"
        if self._unknown:
            yield f"{self._shape} ({self._unknown} of them) is no known report format. Known formats are {_KNOWN}"

    # ------------------------------------------------------------ findings

    def _entry(self, path: tuple[str, ...], entry: Any) -> None:
        self._entries += 1
        if entry:
            self._add(strings_in(entry))
        form = format_of(path, entry)
        if form is None:
            self._unknown += 1
            self._shape = self._shape or _shape(entry)
            return
        self._totals[form.name] += 0
        for secret in secrets_in(form, entry):
            self._totals[form.name] += 1
            self._unread[form] += not self._is_readable(secret)
            self._add_secret(secret)

    def _broken_object(self, values: Mapping[str, Any]) -> None:
        """Read the fields before the break of an object; they do not count as a finding."""
        self._add(strings_in(values))
        form = format_of((), values)
        for secret in secrets_in(form, values) if form else ():
            self._add_secret(secret)

    def _is_readable(self, secret: Secret) -> bool:
        if not secret.texts and not secret.context:
            return bool(secret.sha1)
        if secret.sha1 or any(text.strip() and not is_masked(text) for text in secret.texts):
            return True
        return any(tokens_in(text) for text in (*secret.texts, *secret.context))

    def _add_secret(self, secret: Secret) -> None:
        if secret.sha1:
            self._sha1.add(secret.sha1)
        for text in secret.texts:
            self._add([text])

    def _add(self, texts: Iterable[str]) -> None:
        """Add the fingerprints of all words that may be tokens."""
        text = "\n\n".join(texts)  # one line break would make a wrapped token of two texts
        if len(text) < SHORTEST_TOKEN:  # a report may consist of a million short entries
            return
        found = [match[0].lower() for match in _FINGERPRINT.finditer(text)]
        found += [fingerprint(AccessToken(token)) for token in candidates_in(text)]
        self._fingerprints.update(dict.fromkeys(found))

    # ------------------------------------------------------------ documents

    def _end(self, event: End) -> None:
        if event.path == ("runs", "*"):
            self._sarif_run(event)
        elif event.path == () and event.is_list:
            if not self._entries:
                self._totals["an empty list of findings"] += 0
            self._entries = 0
        elif event.path == ():
            self._document(event)
            self._entries = 0

    def _empty_documents(self, event: EmptyDocuments) -> None:
        self._seen += event.lists + event.objects - 1
        self._entries = 0
        if event.lists:
            self._end(End((), is_list=True))
        if event.objects:
            self._unknown += event.objects - 1
            self._end(End((), is_list=False))

    def _document(self, event: End) -> None:
        """Read the fields of an object other than its findings."""
        values = event.values
        if "runs" in event.entered:
            self._check_version("SARIF", values, ("2.1",), "Export the report as SARIF 2.1.0")
        elif "results" in event.entered and "plugins_used" in values:
            self._check_version("detect-secrets", values, ("0", "1"), "Scan again with detect-secrets 1")
        elif "vulnerabilities" in event.entered:
            self._gitlab_scan(values.get("scan"))
        elif "findings" in event.entered or values.keys() in ({"access_map"}, {"audit"}):
            self._totals["Kingfisher"] += 0
        elif str(values.get("logger")).startswith("trufflehog") and "msg" in values:
            self._totals["TruffleHog"] += 0
            self._add(strings_in(values))
        elif "alert" in values and "action" in values:
            self._github_webhook(values["alert"])
        else:
            self._entry((), values)

    def _check_version(self, form: str, values: Mapping[str, Any], known: tuple[str, ...], advice: str) -> None:
        version = str(values.get("version", known[0]))
        self._totals[form] += 0
        if not any(version == prefix or version.startswith(f"{prefix}.") for prefix in known):
            shown = version if re.fullmatch(r"[0-9.]{1,12}", version) else "unknown"
            self._problems.append(f"{form} version {shown} is not supported. {advice}")

    def _sarif_run(self, event: End) -> None:
        invocations = event.values.get("invocations")
        failed = any(
            isinstance(invocation, Mapping) and invocation.get("executionSuccessful") is False
            for invocation in (invocations if isinstance(invocations, list) else [])
        )
        if failed or "results" not in event.entered:
            self._problems.append("a SARIF run has no results or says that the scanner failed. Run the scanner again")

    def _gitlab_scan(self, scan: object) -> None:
        self._totals["GitLab secret detection"] += 0
        if isinstance(scan, Mapping) and scan.get("status", "success") != "success":
            self._problems.append("the GitLab report says that the scan failed. Run it again")

    def _github_webhook(self, alert: object) -> None:
        if isinstance(alert, Mapping) and "secret" in alert:
            self._entry((), {"secret_type": "", **alert})
            return
        self._problems.append(
            "a GitHub secret_scanning_alert webhook carries no secret. Fetch the alert with the REST API "
            "(GET /repos/{owner}/{repo}/secret-scanning/alerts/{number}) and pass that"
        )

    # ------------------------------------------------------------ text

    def _text(self, text: str) -> None:
        """Read text that is no JSON: a plain report, or log lines between findings."""
        if self._before:  # a wrapped token may begin in the lines before
            self._add([self._before + text[:_SEAM]])
        self._before = text[-_SEAM:]
        block = self._tail + text
        self._tail = "" if text.endswith("\n") else text[-_TAIL:]
        self._lines += sum(1 for _ in _LINE.finditer(text))
        if len(block) < SHORTEST_TOKEN:  # a report may consist of a million short texts between documents
            return
        self._is_table = self._is_table or bool(_TABLE.search(block))
        masked = sum(bool(_MASKED_VALUE.search(line)) for line in text.splitlines()) if self._is_table else 0
        self._masked_lines += masked or len(_MASKED_LINE.findall(block)) or has_masked_token(block)
        self._add([block])
        words = dict.fromkeys(match[1] for match in _LINE_WORD.finditer(block))
        self._seen += len(words)
        for word in words:
            self._add([word])


def _shape(entry: object) -> str:
    """Return a description of an unknown entry, with such keys as are plain words; any other might be a secret."""
    if not isinstance(entry, Mapping):
        return "a list without objects"
    plain = [key for key in list(entry)[:40] if re.fullmatch(r"[A-Za-z_$][A-Za-z_$-]{0,19}", key)]
    return f"an object with the keys {', '.join(plain[:8]) or 'none that are words'}"
