"""The findings of a scanner's report: the fingerprints of the tokens in it, and how many could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import PMEReportError

__all__ = ["Findings", "PartialReportError", "merged"]


@dataclass(frozen=True)
class Findings:
    """What a report contains.

    :param form: the format it was read as.
    :param total: how many findings it lists.
    :param fingerprints: the fingerprints of the tokens in it.
    :param sha1: hex SHA-1 digests of secrets, from scanners that report nothing else of them.
    :param unread: how many of the findings contain no readable secret: it is masked or missing.
    """

    form: str
    total: int
    fingerprints: tuple[str, ...] = ()
    sha1: frozenset[str] = frozenset()
    unread: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON: fingerprints and digests, never a token."""
        return {
            "form": self.form,
            "total": self.total,
            "fingerprints": list(self.fingerprints),
            "sha1": sorted(self.sha1),
            "unread": self.unread,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Findings:
        """Read what :meth:`as_json` wrote.

        :raises PMEReportError: if it is something else; anybody who may post an asset event can write one.
        """
        fingerprints, sha1, total = value.get("fingerprints"), value.get("sha1"), value.get("total")
        texts = [*fingerprints, *sha1] if isinstance(fingerprints, list) and isinstance(sha1, list) else [None]
        unread = value.get("unread", 0)
        if not all(isinstance(text, str) for text in texts) or not (isinstance(total, int) and isinstance(unread, int)):
            raise PMEReportError("findings: the event's report is not as the report trigger writes it.")
        return cls(str(value.get("form")), total, tuple(fingerprints or ()), frozenset(sha1 or ()), unread)


class PartialReportError(PMEReportError):
    """A report was read in part: handle the findings that were read, and read the rest another way.

    :param findings: what was read.
    """

    def __init__(self, message: str, findings: Findings) -> None:
        super().__init__(message)
        self.findings = findings


def merged(reports: Iterable[Findings | None]) -> Findings | None:
    """Merge several reports into one; ``None`` if there is none."""
    read = [report for report in reports if report is not None]
    if len(read) < 2:
        return read[0] if read else None
    fingerprints = tuple(dict.fromkeys(known for report in read for known in report.fingerprints))
    sha1 = frozenset(digest for report in read for digest in report.sha1)
    forms, total = ", ".join(report.form for report in read), sum(report.total for report in read)
    return Findings(forms, total, fingerprints, sha1, sum(report.unread for report in read))
