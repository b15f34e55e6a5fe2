"""The earlier form of :func:`.leak_response.respond`, for callers that have not moved to it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.leaks.reports import Findings
from pme_airflow.ledger.flags import Flagged
from pme_airflow.ledger.links import LinkRow, by_ids
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.lifecycle.flag import Flagging
from pme_airflow.lifecycle.known_tokens import known_fingerprints
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import Sweeper, SweepResult

__all__ = ["LeakReport", "Responder"]

log = logging.getLogger(__name__)


@dataclass
class LeakReport:
    """What a response came to; JSON without tokens by :meth:`as_json`."""

    flagged: Flagged
    findings: Findings | None = None
    ours: int = 0
    swept: SweepResult | None = None
    tokens: list[dict[str, Any]] = field(default_factory=list)

    @property
    def in_words(self) -> str:
        """One line for a person."""
        alive = sum(1 for row in self.flagged.links)
        said = f"{alive} links of ours, {len(self.flagged.tombstones)} tombstones"
        if self.findings is not None and not self.ours:
            said += f"; none of {self.findings.total} findings is a link of ours"
        if self.flagged.unknown:
            said += f"; nothing alive of {', '.join(self.flagged.unknown)}"
        return said

    def as_json(self) -> dict[str, Any]:
        """The XCom form."""
        return {
            "summary": self.in_words,
            "form": self.findings.form if self.findings else None,
            "tokens": self.tokens,
            "tombstones": list(self.flagged.tombstones),
            "unknown": list(self.flagged.unknown),
            "pending": self.swept.pending if self.swept else None,
        }


class Responder:
    """Flags and sweeps for one run_context."""

    def __init__(self, services: Services, run_context: RunContext) -> None:
        self._services = services
        self._run_context = run_context

    def flag(self, flagging: Flagging | None, findings: Findings | None, reason: str) -> LeakReport:
        """Flag what was handed in and what a report found of ours, in one transaction.

        A report's tokens that are not ours leave no tombstones: a scanner finds other people's too.

        :raises PMEInputError: where there is nothing to flag at all.
        """
        if flagging is None and findings is None:
            raise PMEInputError(
                "flag: there is nothing in it. Give tokens (raw, links or fingerprints), models, audiences or findings."
            )
        ours = known_fingerprints(self._services, findings) if findings is not None else []
        whole = flagging or Flagging()
        if findings is not None and not ours and whole == Flagging():
            return LeakReport(Flagged(), findings)
        merged = Flagging(
            tuple(dict.fromkeys([*whole.fingerprints, *ours])), whole.link_ids, whole.models, whole.audiences
        )
        flagged = merged.commit(self._services.database, self._run_context, reason)
        return LeakReport(flagged, findings, len(ours))

    def sweep(self, report: LeakReport, max_attempts: int = 6) -> LeakReport:
        """Revoke what is flagged, and add to the report what became of each token."""
        if any(row.state is State.LIVE for row in report.flagged.links):
            sweeper = Sweeper(self._services, self._run_context, max_attempts)
            report.swept = sweeper.sweep(flagged_only=True)
        report.tokens = [_told(row) for row in self._reread(report.flagged.links)]
        for told in report.tokens:
            log.info(
                "Token %s of model %s: %s, exposure %s.",
                told["fingerprint"],
                told["model_id"],
                told["state"],
                "unknown" if told["exposure"] is None else f"{told['exposure']:.1f} s",
            )
        return report

    def _reread(self, rows: Sequence[LinkRow]) -> list[LinkRow]:
        with self._services.database.read() as tx:
            return list(by_ids(tx, (row.link_id for row in rows)).values())


def _told(row: LinkRow) -> dict[str, Any]:
    exposure = None
    if row.flagged_at is not None and row.revoked_at is not None:
        exposure = (row.revoked_at - row.flagged_at).total_seconds()
    return {
        "link_id": row.link_id,
        "model_id": row.model_id,
        "audience": row.audience,
        "fingerprint": row.fingerprint,
        "state": row.state.value,
        "flagged_at": row.flagged_at.isoformat() if row.flagged_at else None,
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
        "exposure": exposure,
        "irrevocable": row.irrevocable,
    }


def joined(problems: Sequence[PMEError]) -> PMEInputError:
    """Several problems as one."""
    return PMEInputError("; ".join(str(problem) for problem in problems))
