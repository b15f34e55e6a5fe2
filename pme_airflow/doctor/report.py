"""What the doctor found, as a table's rows and as JSON; nothing in it is secret."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.leaks.encodings import redact

__all__ = ["Entry", "Report"]

_MASK = "***"
#: Shorter secrets are not looked for: a text of two letters occurs everywhere.
_MIN_SECRET = 6


@dataclass(frozen=True)
class Entry:
    """One result, and the part of the set-up that it is about."""

    section: str
    result: CheckResult

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "section": self.section,
            "check": self.result.check,
            "verdict": self.result.verdict.value,
            "finding": self.result.finding,
            "cure": self.result.cure,
        }


@dataclass(frozen=True)
class Report:
    """All results, in the order in which they were found."""

    entries: tuple[Entry, ...]

    def count(self, verdict: Verdict) -> int:
        """Return how many results have a verdict."""
        return sum(entry.result.verdict is verdict for entry in self.entries)

    @property
    def exit_status(self) -> int:
        """0 if all is good, 1 if something is doubtful, 2 if something is bad."""
        if self.count(Verdict.BAD):
            return 2
        return 1 if self.count(Verdict.WARNING) else 0

    @property
    def summary(self) -> str:
        """The number of results of each verdict, in a sentence."""
        return ", ".join(f"{self.count(verdict)} {verdict.value}" for verdict in Verdict) + "."

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "exit_status": self.exit_status,
            **{verdict.value: self.count(verdict) for verdict in Verdict},
            "checks": [entry.as_json() for entry in self.entries],
        }

    def without(self, secrets: Collection[str]) -> Report:
        """Return the report with secrets and whatever looks like a token masked, so that it can be pasted anywhere.

        The checks write none; this holds for texts of libraries and of targets of your own.
        """
        known = [secret for secret in secrets if len(secret) >= _MIN_SECRET]
        return Report(tuple(replace(entry, result=_masked(entry.result, known)) for entry in self.entries))


def _masked(result: CheckResult, secrets: Collection[str]) -> CheckResult:
    return replace(result, finding=_clean(result.finding, secrets), cure=_clean(result.cure, secrets))


def _clean(text: str, secrets: Collection[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return redact(text)
