"""The history of slots: which link each one showed when, and when it showed none that was alive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select

from pme_airflow.ledger.links import LinkRow, by_ids, chunked
from pme_airflow.ledger.read_model.rules import DEFAULT_RULE, NightlyRule, Rules
from pme_airflow.ledger.read_model.slots import SlotRow
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import events, runs
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["Gap", "Outage", "RunSpan", "ShownSpan", "Window", "gaps_of", "outages", "run_spans", "slot_history"]

_PLACED = ("published", "withdrawn")
#: Events that an outage of the API or of a worker causes.
_FAILURES = ("lost", "not_made", "abandoned", "not_revoked")
#: Failures that are no further apart are one outage: the keeper tries again every 15 minutes.
_SAME_OUTAGE = timedelta(minutes=20)
_MOST_FAILURES = 5000
_MOST_RUNS = 1000


@dataclass(frozen=True)
class Window:
    """The time that is looked at."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class ShownSpan:
    """A slot showed a link.

    :param start: when it was published, or the window's start.
    :param end: when another one was, when it was withdrawn, or the window's end.
    :param alive_until: when the link's token ended; ``None`` if the link is no longer in the ledger.
    :param planned_renewal: when it was due for renewal.
    :param run: the run that published it.
    """

    link_id: str
    start: datetime
    end: datetime
    alive_until: datetime | None
    planned_renewal: datetime | None
    run: str
    flagged: bool = False

    @property
    def gap(self) -> Gap | None:
        """The time in which the slot showed the link although it was over."""
        if self.alive_until is None or self.alive_until >= self.end:
            return None
        return Gap(max(self.start, self.alive_until), self.end)


@dataclass(frozen=True)
class Gap:
    """A slot was dark."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Outage:
    """Failures that followed one another."""

    start: datetime
    end: datetime
    failures: int
    reason: str


@dataclass(frozen=True)
class RunSpan:
    """A run that minted."""

    run: str
    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class _Placement:
    """A slot was given a link, or was cleared of it."""

    at: datetime
    link_id: str
    run: str
    withdrawn: bool = False


def slot_history(
    tx: ReadTransaction, slots: Sequence[SlotRow], rules: Rules, window: Window
) -> dict[str, list[ShownSpan]]:
    """Return what slots showed in a window, oldest first, by slot key.

    Of a slot whose events were recorded before version 0006 and could not be read, only what it shows now is known.
    """
    placed: dict[str, list[_Placement]] = {row.slot_key: [] for row in slots}
    for row in _placements(tx, list(placed), window):
        placed[row.slot_key].append(_Placement(row.at, row.link_id, row.run, row.event == "withdrawn"))
    placed = {key: _without_repetitions(found) for key, found in placed.items()}
    for slot in slots:
        placed[slot.slot_key] = placed[slot.slot_key] or [_Placement(slot.published_at, slot.link_id, slot.run)]
    known = by_ids(tx, (placement.link_id for found in placed.values() for placement in found))
    return {key: list(_spans(found, known, rules, window)) for key, found in placed.items()}


def _without_repetitions(placements: Sequence[_Placement]) -> list[_Placement]:
    """Return placements without those that put the same link again."""
    kept: list[_Placement] = []
    for placement in placements:
        if not kept or (placement.link_id, placement.withdrawn) != (kept[-1].link_id, kept[-1].withdrawn):
            kept.append(placement)
    return kept


def _placements(tx: ReadTransaction, slot_keys: Sequence[str], window: Window) -> Iterable[Any]:
    """Return the publications and withdrawals in a window, and the last one before it of each slot."""
    columns = (events.c.seq, events.c.slot_key, events.c.at, events.c.event, events.c.link_id, events.c.run)
    for chunk in chunked(slot_keys):
        of_slots = events.c.slot_key.in_(chunk), events.c.event.in_(_PLACED)
        before = select(func.max(events.c.seq)).where(*of_slots, events.c.at < window.start).group_by(events.c.slot_key)
        earlier = list(tx.scalars(before))
        inside = events.c.at.between(window.start, window.end)
        rows = select(*columns).where(*of_slots, or_(inside, events.c.seq.in_(earlier)))
        yield from tx.execute(rows.order_by(events.c.seq))


def _spans(
    placements: Sequence[_Placement], known: dict[str, LinkRow], rules: Rules, window: Window
) -> Iterable[ShownSpan]:
    ends = [*(following.at for following in placements[1:]), window.end]
    for placement, following in zip(placements, ends, strict=True):
        end = min(following, window.end)
        if placement.withdrawn or end <= window.start:
            continue
        link = known.get(placement.link_id)
        yield ShownSpan(
            placement.link_id,
            max(placement.at, window.start),
            end,
            None if link is None else _ended_at(link),
            None if link is None else planned_renewal(link, rules),
            placement.run,
            link is not None and link.flagged_at is not None,
        )


def _ended_at(link: LinkRow) -> datetime:
    return link.revoked_at if link.state is State.REVOKED and link.revoked_at is not None else link.valid_until


def planned_renewal(link: LinkRow, rules: Rules) -> datetime:
    """Return when a link was to be renewed; for the nightly run, the next time from now."""
    rule = rules.by_audience.get(link.audience, DEFAULT_RULE)
    start = link.minted_at or link.requested_at
    if isinstance(rule, NightlyRule):
        return rule.last_run if start < rule.last_run else rule.next_run
    return link.valid_until - (link.valid_until - start) * rule.share


def gaps_of(spans: Sequence[ShownSpan]) -> list[Gap]:
    """Return when a slot was dark."""
    return [span.gap for span in spans if span.gap is not None]


def outages(tx: ReadTransaction, client_id: str, window: Window) -> list[Outage]:
    """Return when mints and revocations failed one after the other, oldest first."""
    failed = select(events.c.at, events.c.reason).where(
        events.c.event.in_(_FAILURES), events.c.at.between(window.start, window.end), events.c.client_id == client_id
    )
    found: list[Outage] = []
    for at, reason in tx.execute(failed.order_by(events.c.at).limit(_MOST_FAILURES)):
        if found and at - found[-1].end <= _SAME_OUTAGE:
            found[-1] = Outage(found[-1].start, at, found[-1].failures + 1, reason)
        else:
            found.append(Outage(at, at, 1, reason))
    return found


def run_spans(tx: ReadTransaction, window: Window) -> list[RunSpan]:
    """Return the runs that minted in a window, oldest first."""
    within = runs.c.seen_at >= window.start, runs.c.started_at <= window.end
    newest = select(runs.c.run, runs.c.started_at, runs.c.finished_at).where(*within)
    rows = tx.execute(newest.order_by(runs.c.started_at.desc()).limit(_MOST_RUNS)).all()
    return [RunSpan(*row) for row in reversed(rows)]
