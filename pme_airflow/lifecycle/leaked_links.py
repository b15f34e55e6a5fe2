"""The request to respond to a leak, and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pme_airflow.errors import PMEError
from pme_airflow.leaks.reports import Findings
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.lifecycle.bounded_list import MAX_ENTRIES
from pme_airflow.lifecycle.sweep import SweepResult

__all__ = ["LeakRequest", "LeakResponse", "LeakedLink", "never_recorded_lines"]


#: More links that may be alive are counted, and not named one by one.
_MAX_LINES = 100


@dataclass(frozen=True)
class LeakRequest:
    """Which links leaked, and whether to revoke them at once.

    ``tokens``, ``candidates``, ``link_ids``, ``reports`` and ``report_places`` name single links. Giving them together
    with ``models`` or ``audiences``, or models together with audiences, needs ``within=True``: then a link must match
    all of them.

    :param tokens: raw tokens, whole links in any encoding, or fingerprints. Only their fingerprints are stored.
    :param models: model ids or share URLs; every link of theirs leaked.
    :param audiences: audiences; every link of theirs leaked.
    :param link_ids: ids of links.
    :param reports: scanners' reports that were read already.
    :param report_places: paths or URLs of scanners' reports.
    :param unread: what the caller could not read, a sentence each; reported with the other problems.
    :param reason: why; stored in the ledger. Tokens in it are masked.
    :param sweep: whether to revoke at once.
    :param within: whether a link must match every criterion given.
    :param max_attempts: a link that the API refused to revoke so often is irrevocable.
    :param deadline: how long the revocation may go on without a confirmation; ``None`` for no limit.
    :param on_selected: called with the links that match, before anything is flagged.
    :param candidates: fingerprints of words that may be tokens. Those of known links are flagged, the others ignored.
    """

    tokens: tuple[object, ...] = field(default=(), repr=False)
    models: tuple[object, ...] = field(default=(), repr=False)
    audiences: tuple[object, ...] = field(default=(), repr=False)
    link_ids: tuple[object, ...] = field(default=(), repr=False)
    reports: tuple[Findings, ...] = ()
    report_places: tuple[str, ...] = field(default=(), repr=False)
    unread: tuple[str, ...] = ()
    reason: str = field(default="", repr=False)
    sweep: bool = False
    within: bool = False
    max_attempts: int = 6
    deadline: timedelta | None = None
    on_selected: Callable[[Sequence[LinkRow]], None] | None = None
    candidates: tuple[str, ...] = field(default=(), repr=False)

    @property
    def single_links(self) -> tuple[object, ...]:
        """Everything given that names single links."""
        return (*self.tokens, *self.candidates, *self.link_ids, *self.reports, *self.report_places)


@dataclass(frozen=True)
class LeakedLink:
    """A flagged link, and whether it was revoked.

    :param not_revoked: why it may still be alive; ``None`` if it is not.
    """

    row: LinkRow
    not_revoked: str | None = None

    @property
    def exposure(self) -> float | None:
        """Seconds from the flag to the API's confirmation; ``None`` if there is none."""
        if self.row.flagged_at is None or self.row.revoked_at is None:
            return None
        return (self.row.revoked_at - self.row.flagged_at).total_seconds()

    @property
    def alive(self) -> bool:
        """Whether its token may be alive."""
        return self.row.state in ALIVE

    @property
    def not_revoked_line(self) -> str:
        """A message about a link that may be alive: which one, why, until when, and what happens next."""
        row = self.row
        reason = (self.not_revoked or "no revocation was confirmed").rstrip(".")
        following = "" if row.state is not State.LIVE else " The next sweep tries again; `pme-airflow sweep` tries now."
        named = f" ({row.fingerprint})" if row.fingerprint else ""
        return (
            f"NOT revoked: link {row.link_id} of {row.named_models}, audience {row.audience}{named}: {reason}. It "
            f"may live until {row.valid_until:%Y-%m-%d %H:%M} UTC.{following}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the link as JSON, without its token."""
        row = self.row
        return {
            "link_id": row.link_id,
            "client_id": row.client_id,
            "model_id": row.opens[0],
            "models": list(row.opens),
            "audience": row.audience,
            "fingerprint": row.fingerprint,
            "state": row.state.value,
            "valid_until": row.valid_until.isoformat(),
            "flagged_at": row.flagged_at.isoformat() if row.flagged_at else None,
            "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
            "exposure": self.exposure,
            "irrevocable": row.irrevocable,
            "not_revoked": self.not_revoked,
        }


@dataclass(frozen=True)
class LeakResponse:
    """The result of a leak response: what it flagged and revoked, and what it did not.

    :param links: every link that matched, and whether it was revoked; those that may be alive first.
    :param tombstones: fingerprints of no known link; kept, so that a later mint finds its token flagged.
    :param unknown: models, audiences and link ids of which no link is alive; a token among them is masked.
    :param outside: fingerprints of known links that do not match the other criteria of a request ``within`` them.
    :param findings: what the reports listed together.
    :param known_findings: how many of the reports' fingerprints are known links.
    :param problems: parts of the request that could not be read; the rest was flagged.
    :param swept: whether revoking was asked for.
    :param sweep: what the sweep revoked; ``None`` if none ran to its end.
    :param sweep_error: why the sweep ended early.
    :param never_recorded: models, audiences and link ids of which the ledger has no link at all, ended ones included.
    """

    links: tuple[LeakedLink, ...] = ()
    tombstones: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    findings: Findings | None = None
    known_findings: int = 0
    problems: tuple[PMEError, ...] = ()
    swept: bool = False
    sweep: SweepResult | None = None
    sweep_error: PMEError | None = None
    never_recorded: tuple[str, ...] = ()

    @property
    def revoked(self) -> tuple[LeakedLink, ...]:
        """The links that the API confirmed revoked."""
        return tuple(link for link in self.links if link.row.state is State.REVOKED)

    @property
    def not_revoked(self) -> tuple[LeakedLink, ...]:
        """The links whose token may be alive."""
        return tuple(link for link in self.links if link.alive)

    @property
    def promise_kept(self) -> bool:
        """Whether everything given was read and flagged, and revoked where that was asked for."""
        return not self.problems and self.sweep_error is None and not (self.swept and self.not_revoked)

    @property
    def permanent(self) -> bool:
        """Whether trying the same request again cannot help before a person changes something."""
        error = self.sweep_error
        return bool(self.problems) or (error is not None and error.permanent)

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        parts = [f"{len(self.links)} links flagged"]
        if self.swept:
            parts.append(f"{len(self.revoked)} revoked, {len(self.not_revoked)} NOT revoked")
        if self.tombstones:
            parts.append(f"{len(self.tombstones)} fingerprints of no known link, kept as tombstones")
        if self.findings is not None and not self.known_findings:
            parts.append(f"none of the {self.findings.total - self.findings.unread} findings is a known link")
        if self.unknown:
            parts.append(f"nothing is alive of {', '.join(self.unknown)}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """Return what a person must know beyond the summary, a sentence each."""
        alive = self.not_revoked if self.swept else ()
        lines = [link.not_revoked_line for link in alive[:_MAX_LINES]]
        if len(alive) > _MAX_LINES:
            lines.append(
                f"NOT revoked: {len(alive) - _MAX_LINES} more links. `pme-airflow ledger list --state live` lists them."
            )
        lines += [
            f"{fingerprint} is of no known link. It is kept: a link that is recorded with it later is revoked."
            for fingerprint in self.tombstones
        ]
        lines += [
            f"{fingerprint} does not match the other criteria and was not flagged." for fingerprint in self.outside
        ]
        lines += never_recorded_lines(self.never_recorded)
        if self.sweep_error is not None:
            lines.append(f"The sweep ended early: {self.sweep_error}")
        return lines + [str(problem) for problem in self.problems]

    def as_json(self) -> dict[str, Any]:
        """Return the XCom form: JSON without tokens, with the first thousand links, those that may be alive first."""
        return {
            "summary": self.summary,
            "promise_kept": self.promise_kept,
            "form": self.findings.form if self.findings else None,
            "tokens": [link.as_json() for link in self.links[:MAX_ENTRIES]],
            "total": len(self.links),
            "tombstones": list(self.tombstones),
            "unknown": list(self.unknown),
            "never_recorded": list(self.never_recorded),
            "outside": list(self.outside),
            "problems": [str(problem) for problem in self.problems],
            "pending": self.sweep.pending if self.sweep else None,
        }


def never_recorded_lines(names: Sequence[str]) -> list[str]:
    """Return what to do about names that no link of the ledger has, a sentence each."""
    return [
        f"The ledger has no link of {name}, not even one that ended, so nothing was flagged. Check the spelling, "
        "and that the connection is the one that minted it; links that ended long ago may have been purged."
        for name in names
    ]
