"""Retiring: stop showing links on purpose. Slots are cleared at their targets, and the links are revoked."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pme_airflow.errors import LedgerUnavailableError, PMEError, PMEInputError
from pme_airflow.ledger import publications, selections
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.links import LinkRow, by_ids, chunked
from pme_airflow.ledger.publications import Publication, SlotOwner
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.selections import Selection
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.bounded_list import BoundedList
from pme_airflow.lifecycle.clearing import clear_slots
from pme_airflow.lifecycle.clearing_guard import clearing_refused, too_many
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.reasons import stored_reason
from pme_airflow.lifecycle.retirement import PlacementSlots, RetireRequest, RetireResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, SweepResult, sweep

__all__ = [
    "PlacementSlots",
    "RetireRequest",
    "RetireResult",
    "preview_retirement",
    "retire",
    "retire_targets",
]

log = logging.getLogger(__name__)
_NO_GRACE = timedelta(0)


def preview_retirement(services: Services, request: RetireRequest) -> BoundedList[Publication]:
    """Return the slots that :func:`retire` would clear, the first 1,000 of them.

    :raises PMEInputError: if no criterion is given.
    """
    found: BoundedList[Publication] = BoundedList()
    for publication in _selected(services, request):
        found.append(publication)
    return found


def retire(services: Services, run_context: RunContext, request: RetireRequest) -> RetireResult:
    """Clear what is selected at its targets, and revoke the links that nothing shows any more.

    A slot that cannot be cleared keeps its link, so that nothing goes dark by a failure; it is in the result.

    :raises PMEInputError: if no criterion is given, or more would be cleared than may be without ``allow_clearing``.
    :raises LedgerUnavailableError: if the ledger cannot be read or written.
    """
    preview = preview_retirement(services, request)
    _check_share(services, request)
    if request.on_selected is not None:
        request.on_selected(preview)
    reason = stored_reason(request.reason, "retired")
    result = RetireResult(still_named=_still_named(request, preview), swept=request.sweep)
    gone = _clear(services, run_context, request, reason, result)
    gone += _retire_unshown(services, run_context, request, reason)
    for row in _rows(services, gone):
        if len(row.opens) > 1 and not _is_retired(row):
            result.shared.append(row)
    result = replace(result, links=sum(1 for row in _rows(services, gone) if _is_retired(row)))
    return _revoke(services, run_context, request, result, gone) if request.sweep else result


def _selected(services: Services, request: RetireRequest) -> Iterator[Publication]:
    shown = selections.shown(services.database, request.selection(services.client.client_id))
    return (publication for publication in shown if request.wants_gone(publication))


def _check_share(services: Services, request: RetireRequest) -> None:
    """Refuse to clear more than half of an audience's slots, or of another DAG's, by what placements leave out.

    An audience that no placement names is meant where the request names it. Without any placement, as where all of a
    file is commented out, no slot of another audience is cleared.
    """
    if request.allow_clearing or not request.unnamed_only:
        return
    going: Counter[tuple[str, str | None]] = Counter()
    for publication in _selected(services, request):
        going[publication.audience, publication.publisher] += 1
    for (audience, publisher), count in going.items():
        if publisher is None or publisher in (request.publishers or ()):
            continue
        shown = _count(services, audience, frozenset({publisher}))
        if count * 2 > shown:
            raise _refused(count, shown, f"slots of audience {audience} that DAG {publisher} published")
    placed = {placement.audience for placement in request.placements}
    for audience in {audience for audience, _ in going} - (set(request.audiences) - placed):
        count = sum(number for (name, _), number in going.items() if name == audience)
        shown = _count(services, audience, request.publishers)
        if too_many(count, shown) or not placed:
            what = f"slots of audience {audience}"
            if audience in placed:
                raise _refused(count, shown, what)
            cure = f"name it with --audience {audience}. Else check the placements that were read"
            raise _refused(count, shown, f"{what}, which no placement names,", cure)


def _count(services: Services, audience: str, publishers: frozenset[str] | None) -> int:
    selection = Selection(services.client.client_id, frozenset({audience}), publishers=publishers)
    with services.database.read() as tx:
        return selections.count_shown(tx, selection)


def _refused(going: int, shown: int, what: str, cure: str = "give --allow-clearing") -> PMEInputError:
    return PMEInputError(f"retire: {clearing_refused(going, shown, what, cure)}.")


def _clear(
    services: Services, run_context: RunContext, request: RetireRequest, reason: str, result: RetireResult
) -> list[str]:
    """Clear the selected slots, target by target; return the ids of the links they showed."""
    gone: dict[str, None] = {}

    def slots(name: str) -> Iterator[Publication]:
        one = replace(selection, targets=frozenset({name}))
        for publication in selections.shown(services.database, one):
            if request.wants_gone(publication):
                gone[publication.link_id] = None
                yield publication

    selection = request.selection(services.client.client_id)
    with services.database.read() as tx:
        names = selections.targets_shown(tx, selection)
    for name in names:
        if name in request.at:
            cleared = PublishResult(name)
            clear_slots(services, run_context, request.at[name], slots(name), reason, cleared, _NO_GRACE)
            result.cleared.extend({"target": name, **entry} for entry in cleared.removed)
            result.failed.extend({"target": name, **entry} for entry in cleared.failed)
            continue
        for publication in slots(name):
            services.database.run(run_context, partial(_withdraw, [publication], reason, _NO_GRACE))
            result.dark.append({"target": name, "slot": publication.slot, "model_id": publication.model_id})
    return list(gone)


def _withdraw(gone: Sequence[Publication], reason: str, grace: timedelta, tx: WriteTransaction) -> None:
    publications.withdraw(tx, gone, reason, grace)


def _retire_unshown(services: Services, run_context: RunContext, request: RetireRequest, reason: str) -> list[str]:
    """Retire the live links of the selected models and audiences that no slot shows; return their ids.

    Those that an earlier run has retired and not revoked, since it was killed for example, are among them.
    """
    if request.targets or request.publishers is not None:
        return []
    selection = request.selection(services.client.client_id)
    if request.unnamed_only:
        with services.database.read() as tx:
            live = set(selections.live_audiences(tx, selection.client_id))
        named = {placement.audience for placement in request.placements}
        unnamed = live - named - set(map(viewer_audience, named))
        unnamed &= selection.audiences or unnamed
        if not unnamed:
            return []
        selection = replace(selection, audiences=frozenset(unnamed))
    with services.database.read() as tx:
        gone = selections.retired_links(tx, selection)
    while True:
        page = services.database.run(run_context, lambda tx: selections.retire_unshown_links(tx, selection, reason))
        gone += page
        if not page:
            return gone


def _revoke(
    services: Services, run_context: RunContext, request: RetireRequest, result: RetireResult, gone: Sequence[str]
) -> RetireResult:
    """Sweep, and add to the result which of the links may be alive."""
    swept: SweepResult | None = None
    error: PMEError | None = None
    try:
        swept = sweep(services, run_context, SweepRequest(deadline=request.deadline))
    except PMEError as raised:
        error = raised
    alive: BoundedList[LinkRow] = BoundedList()
    try:
        alive.extend(row for row in _rows(services, gone) if row.state in ALIVE and _is_retired(row))
    except LedgerUnavailableError as raised:
        error = error or raised
    return replace(result, sweep=swept, sweep_error=error, not_revoked=alive)


def _rows(services: Services, link_ids: Sequence[str]) -> Iterator[LinkRow]:
    for chunk in chunked(link_ids):
        with services.database.read() as tx:
            rows = by_ids(tx, chunk)
        yield from rows.values()


def _is_retired(row: LinkRow) -> bool:
    """Whether a link is to be revoked; one that another slot still shows is not."""
    return row.state is not State.LIVE or row.retire_at is not None or row.flagged_at is not None


def _still_named(request: RetireRequest, preview: Sequence[Publication]) -> tuple[str, ...]:
    named = {
        f"Model {publication.model_id} for audience {publication.audience}": None
        for publication in preview
        for placement in request.placements
        if placement.names(publication)
    }
    return tuple(named)


def retire_targets(
    services: Services, run_context: RunContext, audience: str, targets: Sequence[str], publishers: Sequence[str]
) -> list[Publication]:
    """Retire the links that an audience is shown at targets that nothing publishes to any more.

    Their slots are not cleared, since no DAG has those targets any more; they go dark when a sweep revokes the links.

    :param targets: the names of the targets that are still published to.
    :param publishers: the ids of the DAGs whose slots these are; those of other DAGs are left alone.
    """
    owner = SlotOwner(services.client.client_id, audience, frozenset(publishers))

    def withdraw(tx: WriteTransaction) -> list[Publication]:
        gone = [shown for shown in publications.shown_to(tx, owner) if shown.target not in set(targets)]
        if gone:
            publications.withdraw(tx, gone, "its target is in no placement any more", services.grace)
        return gone

    return services.database.run(run_context, withdraw)
