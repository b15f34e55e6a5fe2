"""Responding to a leak: flag what leaked in one commit, revoke it at once, and report what was not revoked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pme_airflow.errors import LedgerUnavailableError, PMEError, PMEInputError
from pme_airflow.leaks.report_fetch import read_findings
from pme_airflow.leaks.reports import Findings, merged
from pme_airflow.ledger import flags
from pme_airflow.ledger.exposed import flagged_links, links_matching
from pme_airflow.ledger.flags import Flagged
from pme_airflow.ledger.links import LinkRow, by_ids
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.transaction import ReadTransaction
from pme_airflow.lifecycle.flag import Flagging
from pme_airflow.lifecycle.known_tokens import known_fingerprints
from pme_airflow.lifecycle.reasons import stored_reason
from pme_airflow.lifecycle.responder import Responder, joined
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, SweepResult, sweep

__all__ = ["LeakRequest", "LeakResponse", "LeakedLink", "Responder", "flagged_and_alive", "joined", "respond"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeakRequest:
    """What leaked, and what to do about it.

    ``tokens``, ``link_ids``, ``reports`` and ``report_places`` name single links. Giving them together with ``models``
    or ``audiences``, or models together with audiences, needs ``within=True``: then a link must match all of them.

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
    """

    tokens: tuple[object, ...] = field(default=(), repr=False)
    models: tuple[object, ...] = ()
    audiences: tuple[object, ...] = ()
    link_ids: tuple[object, ...] = ()
    reports: tuple[Findings, ...] = ()
    report_places: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    reason: str = ""
    sweep: bool = False
    within: bool = False
    max_attempts: int = 6
    deadline: timedelta | None = None
    on_selected: Callable[[Sequence[LinkRow]], None] | None = None


@dataclass(frozen=True)
class LeakedLink:
    """A flagged link, and what became of it.

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
        """What a person must know of a link that may be alive: which it is, why, until when, and what happens next."""
        row = self.row
        reason = (self.not_revoked or "no revocation was confirmed").rstrip(".")
        following = "" if row.state is not State.LIVE else " The next sweep tries again; `pme-airflow sweep` tries now."
        named = f" ({row.fingerprint})" if row.fingerprint else ""
        return (
            f"NOT revoked: link {row.link_id} of model {row.model_id}, audience {row.audience}{named}: {reason}. It "
            f"may live until {row.valid_until:%Y-%m-%d %H:%M} UTC.{following}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the link as JSON, without its token."""
        row = self.row
        return {
            "link_id": row.link_id,
            "client_id": row.client_id,
            "model_id": row.model_id,
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
    """What a response flagged and revoked, and what it did not.

    :param links: every link that matched, and what became of it; those that may be alive first.
    :param tombstones: fingerprints of no known link; kept, so that a later mint finds its token flagged.
    :param unknown: models, audiences and link ids of which no link is alive.
    :param outside: fingerprints of known links that do not match the other criteria of a request ``within`` them.
    :param findings: what the reports listed together.
    :param known_findings: how many of the reports' fingerprints are known links.
    :param problems: parts of the request that could not be read; the rest was flagged.
    :param swept: whether revoking was asked for.
    :param sweep: what the sweep revoked; ``None`` if none ran to its end.
    :param sweep_error: why the sweep ended early.
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
        lines = [link.not_revoked_line for link in self.not_revoked] if self.swept else []
        lines += [
            f"{fingerprint} is of no known link. It is kept: a link that is recorded with it later is revoked."
            for fingerprint in self.tombstones
        ]
        lines += [
            f"{fingerprint} does not match the other criteria and was not flagged." for fingerprint in self.outside
        ]
        if self.sweep_error is not None:
            lines.append(f"The sweep ended early: {self.sweep_error}")
        return lines + [str(problem) for problem in self.problems]

    def as_json(self) -> dict[str, Any]:
        """Return the XCom form: JSON without tokens."""
        return {
            "summary": self.summary,
            "promise_kept": self.promise_kept,
            "form": self.findings.form if self.findings else None,
            "tokens": [link.as_json() for link in self.links],
            "tombstones": list(self.tombstones),
            "unknown": list(self.unknown),
            "outside": list(self.outside),
            "problems": [str(problem) for problem in self.problems],
            "pending": self.sweep.pending if self.sweep else None,
        }


def respond(services: Services, run_context: RunContext, request: LeakRequest) -> LeakResponse:
    """Flag what leaked in one transaction, and revoke it at once where the request says so.

    What cannot be read is in the response's problems, and the rest is flagged. Fingerprints that stand in a report and
    are of no known link leave no tombstones: a scanner finds other people's tokens too.

    :raises PMEInputError: if the request holds nothing to flag, or mixes criteria without ``within``.
    :raises LedgerUnavailableError: if the ledger cannot be written; nothing is flagged then.
    """
    problems: list[PMEError] = [PMEInputError(sentence) for sentence in request.unread]
    selection, findings = _read(request, problems)
    if selection is None and findings is None:
        if problems:
            return LeakResponse(problems=tuple(problems), swept=request.sweep)
        raise PMEInputError(
            "flag: there is nothing in it. Give tokens (raw, links or fingerprints), models, audiences or findings."
        )
    services.database.prepare()
    known = known_fingerprints(services, findings) if findings is not None else []
    _refuse_mixture(selection or Flagging(), bool(findings), request.within)
    named = replace(selection or Flagging(), fingerprints=_union((selection or Flagging()).fingerprints, known))
    if request.on_selected is not None:
        request.on_selected(_selected(services, named, request.within))
    flagged, outside = _flag(services, run_context, request, named) if named != Flagging() else (Flagged(), ())
    response = LeakResponse(
        tuple(LeakedLink(row) for row in flagged.links),
        flagged.tombstones,
        flagged.unknown,
        outside,
        findings,
        len(known),
        tuple(problems),
        request.sweep,
    )
    for fingerprint in flagged.tombstones:
        log.warning("%s is of no known link; it is kept as a tombstone.", fingerprint)
    return _revoke(services, run_context, request, response) if request.sweep else response


def _read(request: LeakRequest, problems: list[PMEError]) -> tuple[Flagging | None, Findings | None]:
    """Read what was given; what cannot be read is added to the problems."""
    given = {
        "tokens": request.tokens,
        "models": request.models,
        "audiences": request.audiences,
        "link_ids": request.link_ids,
    }
    selection = Flagging.gather(given, problems)
    reports = [*request.reports, *(read_findings(place, problems) for place in request.report_places)]
    return selection, merged(reports)


def _refuse_mixture(selection: Flagging, has_report: bool, within: bool) -> None:
    """Refuse criteria that read like a filter and would select the union."""
    links = bool(selection.fingerprints or selection.link_ids or has_report)
    given = [
        name
        for name, wanted in (("tokens", links), ("models", selection.models), ("audiences", selection.audiences))
        if wanted
    ]
    if len(given) > 1 and not within:
        raise PMEInputError(
            f"flag: {' and '.join(given)} were given together. Flag them one after the other for all links of each, or "
            "add within for the links that match all of them. Nothing was flagged."
        )


def _selected(services: Services, named: Flagging, within: bool) -> list[LinkRow]:
    """Return the links that may be alive and that :func:`_flag` would flag."""
    with services.database.read() as tx:
        if within and (named.models or named.audiences):
            return _matching(tx, services, named)
        single = [Flagging(**{name: values}) for name, values in named.criteria.items()]
        found = [_matching(tx, services, criterion) for criterion in single if criterion != Flagging()]
    return list({row.link_id: row for rows in found for row in rows}.values())


def _matching(tx: ReadTransaction, services: Services, named: Flagging) -> list[LinkRow]:
    """Return the links that match all criteria; of models and audiences alone, those of the connection's own client."""
    rows = links_matching(tx, **named.criteria)
    if named.fingerprints or named.link_ids:
        return rows
    return [row for row in rows if row.client_id == services.client.client_id]


def _flag(
    services: Services, run_context: RunContext, request: LeakRequest, named: Flagging
) -> tuple[Flagged, tuple[str, ...]]:
    """Flag what the criteria name; with ``within``, what matches all of them, and which known fingerprints do not."""
    reason = stored_reason(request.reason, "flagged without a reason")
    criteria: dict[str, Any] = dict(named.criteria)
    with services.database.write(run_context) as tx:
        if not (request.within and (named.models or named.audiences)):
            return flags.flag(tx, reason, client_id=services.client.client_id, **criteria), ()
        rows = _matching(tx, services, named)
        known = {row.fingerprint for row in links_matching(tx, fingerprints=named.fingerprints)}
        matched = {row.fingerprint for row in rows}
        tombstones = [fingerprint for fingerprint in named.fingerprints if fingerprint not in known]
        flagged = flags.flag(tx, reason, fingerprints=tombstones, link_ids=[row.link_id for row in rows])
    return flagged, tuple(f for f in named.fingerprints if f in known and f not in matched)


def _revoke(services: Services, run_context: RunContext, request: LeakRequest, response: LeakResponse) -> LeakResponse:
    """Sweep, and add to the response what became of each link."""
    swept: SweepResult | None = None
    error: PMEError | None = None
    if any(link.row.state is State.LIVE for link in response.links):
        wanted = SweepRequest(request.max_attempts, flagged_only=True, deadline=request.deadline)
        try:
            swept = sweep(services, run_context, wanted)
        except PMEError as raised:
            error = raised
    rows = {link.row.link_id: link.row for link in response.links}
    try:
        with services.database.read() as tx:
            rows |= by_ids(tx, rows)
    except LedgerUnavailableError as raised:
        error = error or raised
    links = [LeakedLink(row, _why_alive(row, services, swept, error)) for row in rows.values()]
    links.sort(key=lambda link: not link.alive)
    for link in links:
        _log(link)
    return replace(response, links=tuple(links), sweep=swept, sweep_error=error)


def flagged_and_alive(services: Services, swept: SweepResult | None = None, limit: int = 100) -> list[LeakedLink]:
    """Return the flagged links of any client that may be alive, and why each is; no more than a limit.

    :param swept: the sweep that has just ended.
    """
    with services.database.read() as tx:
        rows = flagged_links(tx, limit)
    return [LeakedLink(row, _why_alive(row, services, swept, None)) for row in rows]


def _why_alive(row: LinkRow, services: Services, swept: SweepResult | None, error: PMEError | None) -> str | None:
    if row.state not in ALIVE:
        return None
    if row.client_id != services.client.client_id:
        return (
            f"it was minted by client {row.client_id}, and this connection is of client {services.client.client_id}. "
            f"Sweep with the connection whose client id is {row.client_id}"
        )
    if row.state is State.UNACCOUNTED:
        return "the answer with its token was lost, so nobody can revoke it; it was shown to nobody"
    if row.state is State.MINTING:
        return "it is being minted; the next sweep revokes it as soon as its token is known"
    if swept is not None and row.link_id in swept.reasons:
        return swept.reasons[row.link_id]
    if error is not None:
        return str(error)
    return "another sweep is at it, or it waits for its next try; the next sweep tries it"


def _log(link: LeakedLink) -> None:
    if link.alive:
        log.error("%s", link.not_revoked_line)
        return
    exposure = "unknown" if link.exposure is None else f"{link.exposure:.1f} s"
    row = link.row
    log.info("Token %s of model %s: %s, exposure %s.", row.fingerprint, row.model_id, row.state.value, exposure)


def _union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))
