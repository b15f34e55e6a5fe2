"""Responding to a leak: flag what leaked in one commit, revoke it at once, and report what was not revoked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pme_airflow.errors import LedgerUnavailableError, PMEError, PMEInputError
from pme_airflow.leaks.encodings import redact
from pme_airflow.leaks.report_fetch import read_findings
from pme_airflow.leaks.reports import Findings, merged
from pme_airflow.ledger import flags
from pme_airflow.ledger.exposed import flagged_links, links_matching
from pme_airflow.ledger.flags import Flagged
from pme_airflow.ledger.links import LinkRow, by_ids, chunked, unsealed
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction
from pme_airflow.lifecycle.known_tokens import known_fingerprints
from pme_airflow.lifecycle.leak_criteria import LeakCriteria, candidates_of
from pme_airflow.lifecycle.leaked_links import LeakedLink, LeakRequest, LeakResponse
from pme_airflow.lifecycle.reasons import stored_reason
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, SweepResult, sweep

__all__ = ["LeakRequest", "LeakResponse", "LeakedLink", "flagged_and_alive", "respond", "select_leaked"]

log = logging.getLogger(__name__)


def respond(services: Services, run_context: RunContext, request: LeakRequest) -> LeakResponse:
    """Flag what leaked in one transaction, and revoke it at once where the request says so.

    What cannot be read is in the response's problems, and the rest is flagged. Fingerprints in a report that
    belong to no known link leave no tombstones: a scanner finds other people's tokens too.

    :raises PMEInputError: if the request holds nothing to flag, or mixes criteria without ``within``.
    :raises LedgerUnavailableError: if the ledger cannot be written; nothing is flagged then.
    """
    criteria, findings, problems = _checked(request)
    if criteria.is_empty and findings is None and not request.candidates:
        return LeakResponse(problems=tuple(problems), swept=request.sweep)
    services.database.prepare()
    absent = _absent(services, criteria)
    named, known = _named(services, request, criteria, findings)
    if request.on_selected is not None:
        request.on_selected(_selected(services, named, request.within))
    flagged, outside = (Flagged(), ()) if named.is_empty else _flag(services, run_context, request, named)
    response = LeakResponse(
        tuple(LeakedLink(row) for row in flagged.links),
        flagged.tombstones,
        tuple(map(redact, flagged.unknown)),
        outside,
        findings,
        len(known),
        tuple(problems),
        request.sweep,
        never_recorded=absent,
    )
    for fingerprint in flagged.tombstones:
        log.warning("%s is of no known link; it is kept as a tombstone.", fingerprint)
    return _revoke(services, run_context, request, response) if request.sweep else response


@dataclass(frozen=True)
class LeakSelection:
    """What a leak response would flag.

    :param links: the links.
    :param problems: parts of the request that cannot be read.
    :param never_recorded: models, audiences and link ids of which the ledger has no link at all.
    :param is_empty: whether nothing of the request could be read.
    """

    links: tuple[LinkRow, ...] = ()
    problems: tuple[PMEError, ...] = ()
    never_recorded: tuple[str, ...] = ()
    is_empty: bool = False


def select_leaked(services: Services, request: LeakRequest) -> LeakSelection:
    """Return the links that :func:`respond` would flag, and what of the request cannot be read; change nothing.

    :raises PMEInputError: as :func:`respond` does.
    """
    criteria, findings, problems = _checked(request)
    if criteria.is_empty and findings is None and not request.candidates:
        return LeakSelection(problems=tuple(problems), is_empty=True)
    named, _ = _named(services, request, criteria, findings)
    selected = _selected(services, named, request.within)
    return LeakSelection(tuple(selected), tuple(problems), _absent(services, criteria))


def never_recorded(services: Services, request: LeakRequest) -> tuple[str, ...]:
    """Return the models, audiences and link ids of a request of which the ledger has no link, as a response names them.

    :raises PMEInputError: as :func:`respond` does.
    """
    criteria, _, _ = _checked(request)
    return _absent(services, criteria)


def _checked(request: LeakRequest) -> tuple[LeakCriteria, Findings | None, list[PMEError]]:
    """Read a request.

    :raises PMEInputError: if it holds nothing to flag, or mixes criteria without ``within``.
    """
    problems: list[PMEError] = [PMEInputError(sentence) for sentence in request.unread]
    criteria, findings = _read(request, problems)
    if not request.within:
        _refuse_mixture(criteria, names_links=findings is not None or bool(request.candidates))
    if criteria.is_empty and findings is None and not request.candidates and not problems:
        raise PMEInputError(
            "there is nothing in it. Give tokens (raw, links or fingerprints), models, audiences or findings.", "flag"
        )
    return criteria, findings, problems


def _named(
    services: Services, request: LeakRequest, criteria: LeakCriteria, findings: Findings | None
) -> tuple[LeakCriteria, list[str]]:
    """Return the criteria with those of the candidates and of the reports that are of known links; and the reports'.

    Words in the texts of the tokens are candidates too: of ``Bearer+TOKEN.Please`` the token may be a part alone.
    """
    known = known_fingerprints(services, findings) if findings is not None else []
    inside = candidates_of("\n\n".join(token for token in request.tokens if isinstance(token, str)))
    candidates = tuple(dict.fromkeys([*request.candidates, *inside]))
    words = known_fingerprints(services, Findings("words", 0, candidates)) if candidates else []
    named = replace(criteria, fingerprints=tuple(dict.fromkeys([*criteria.fingerprints, *known, *words])))
    if request.within and _lacks_one(request, named):
        named = LeakCriteria()  # nothing matches a criterion of which nothing could be read
    return named, known


def _read(request: LeakRequest, problems: list[PMEError]) -> tuple[LeakCriteria, Findings | None]:
    """Read what was given; what cannot be read is added to the problems."""
    given = {
        "tokens": request.tokens,
        "models": request.models,
        "audiences": request.audiences,
        "link_ids": request.link_ids,
    }
    criteria = LeakCriteria.read(given, problems)
    reports = [*request.reports, *(read_findings(place, problems) for place in request.report_places)]
    return criteria, merged(reports)


def _refuse_mixture(criteria: LeakCriteria, *, names_links: bool) -> None:
    """Raise unless several criteria come with ``within``: they look like a filter, but would select the union.

    :param names_links: whether single links are named by more than the criteria.
    """
    given = [
        name
        for name, values in (
            ("tokens", criteria.names_links or names_links),
            ("models", criteria.models),
            ("audiences", criteria.audiences),
        )
        if values
    ]
    if len(given) > 1:
        raise PMEInputError(
            f"{' and '.join(given)} were given together. Flag them one after the other for all links of each, or add "
            "within for the links that match all of them. Nothing was flagged.",
            "flag",
        )


def _lacks_one(request: LeakRequest, named: LeakCriteria) -> bool:
    """Return whether a criterion was given of which nothing could be read, or is known."""
    return (
        bool(request.single_links and not named.names_links)
        or bool(request.models and not named.models)
        or bool(request.audiences and not named.audiences)
    )


def _absent(services: Services, criteria: LeakCriteria) -> tuple[str, ...]:
    """Return the criteria that name no link of the ledger, whatever its state; a token among them is masked."""
    if not (criteria.link_ids or criteria.names_groups):
        return ()
    with services.database.read() as tx:
        names = flags.never_recorded(
            tx, criteria.link_ids, criteria.models, criteria.audiences, services.client.client_id
        )
    return tuple(map(redact, names))


def _selected(services: Services, named: LeakCriteria, within: bool) -> list[LinkRow]:
    """Return the links that :func:`_flag` would flag and that may be alive."""
    wanted = [named] if within else named.one_by_one()
    if named.is_empty:
        return []
    with services.database.read() as tx:
        found = [_matching(tx, services, criteria) for criteria in wanted]
    return list({row.link_id: row for rows in found for row in rows}.values())


def _matching(tx: ReadTransaction, services: Services, named: LeakCriteria) -> list[LinkRow]:
    """Return the links that match all criteria; of models and audiences alone, those of the connection's own client."""
    rows = links_matching(tx, **named.by_name)
    if named.names_links:
        return rows
    return [row for row in rows if row.client_id == services.client.client_id]


def _flag(
    services: Services, run_context: RunContext, request: LeakRequest, named: LeakCriteria
) -> tuple[Flagged, tuple[str, ...]]:
    """Flag what the criteria name; with ``within``, what matches all of them, and which known fingerprints do not."""
    reason = stored_reason(request.reason, "flagged without a reason")

    def work(tx: WriteTransaction) -> tuple[Flagged, tuple[str, ...]]:
        if not (request.within and named.names_groups):
            return flags.flag(tx, reason, client_id=services.client.client_id, **named.by_name), ()
        rows = _matching(tx, services, named)
        alive = links_matching(tx, fingerprints=named.fingerprints) if named.fingerprints else []
        known, matched = {row.fingerprint for row in alive}, {row.fingerprint for row in rows}
        others = [fingerprint for fingerprint in named.fingerprints if fingerprint not in known]
        flagged = flags.flag(tx, reason, fingerprints=others, link_ids=[row.link_id for row in rows])
        return flagged, tuple(f for f in named.fingerprints if f in known and f not in matched)

    return services.database.run(run_context, work)


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
        for chunk in chunked(list(rows)):
            with services.database.read() as tx:
                rows |= {link_id: unsealed(row) for link_id, row in by_ids(tx, chunk).items()}
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
        return "the response with its token was lost, so nobody can revoke it; it was shown to nobody"
    if row.state is State.MINTING:
        return "it is being minted; the next sweep revokes it as soon as its token is known"
    if swept is not None and row.link_id in swept.reasons:
        return swept.reasons[row.link_id]
    if error is not None:
        return str(error)
    return "another sweep is revoking it, or it waits for its next attempt; the next sweep tries it"


def _log(link: LeakedLink) -> None:
    if link.alive:
        log.error("%s", link.not_revoked_line)
        return
    exposure = "unknown" if link.exposure is None else f"{link.exposure:.1f} s"
    row = link.row
    log.info("Token %s of %s: %s, exposure %s.", row.fingerprint, row.named_models, row.state.value, exposure)
