"""The state of one connection's slots, links and ledger as JSON: the page and the command ``status`` print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from pme_airflow.iso_times import iso_text
from pme_airflow.ledger import audit
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow, by_id
from pme_airflow.ledger.read_model import timeline as history
from pme_airflow.ledger.read_model.health import overdue, sealed_with
from pme_airflow.ledger.read_model.leaks import leak_report, shown_counts
from pme_airflow.ledger.read_model.listing import Listing
from pme_airflow.ledger.read_model.rules import Rules, SlotState
from pme_airflow.ledger.read_model.slots import ALL_SLOTS, SlotCount, SlotFilter, by_state, count_slots, find_slots
from pme_airflow.ledger.read_model.timeline import Window
from pme_airflow.sealing import Sealer

__all__ = ["PAGE_SIZE", "LedgerView", "TimelineRequest", "health", "is_well", "json_of", "leaks", "link_story", "slots",
           "timeline"]  # fmt: skip

PAGE_SIZE = 200
#: How many slots a timeline has a row for.
TIMELINE_SIZE = 50


@dataclass(frozen=True)
class LedgerView:
    """One connection's part of a ledger.

    :param rules: when the links of each audience are due.
    """

    conn_id: str
    client_id: str
    database: Database
    sealer: Sealer
    rules: Rules


@dataclass(frozen=True)
class TimelineRequest:
    """Which slots' history.

    :param length: how far back it goes.
    """

    which: SlotFilter = ALL_SLOTS
    length: timedelta = timedelta(hours=48)
    page: int = 1


def slots(view: LedgerView, which: SlotFilter, page: int = 1, page_size: int = PAGE_SIZE) -> dict[str, Any]:
    """Return a page of slots, the counts of all of them, and how many match the filter."""
    with view.database.read() as tx:
        counts = count_slots(tx, view.client_id, view.rules)
        matching = (
            counts
            if which == SlotFilter(order=which.order, descending=which.descending)
            else (count_slots(tx, view.client_id, view.rules, which))
        )
        rows = find_slots(tx, view.client_id, view.rules, which, page_size, (page - 1) * page_size)
        now = tx.now()
    total = sum(count.slots for count in matching)
    return {
        "now": json_of(now),
        "conn_id": view.conn_id,
        "counts": by_state(counts),
        "groups": json_of(counts),
        "matching": total,
        "page": page,
        "pages": max(1, -(-total // page_size)),
        "page_size": page_size,
        "slots": json_of(rows),
    }


def timeline(view: LedgerView, request: TimelineRequest) -> dict[str, Any]:
    """Return what slots showed, link after link, with gaps, outages and runs."""
    offset = (request.page - 1) * TIMELINE_SIZE
    with view.database.read() as tx:
        now = tx.now()
        window = Window(now - request.length, now)
        rows = find_slots(tx, view.client_id, view.rules, request.which, TIMELINE_SIZE, offset)
        total = sum(count.slots for count in count_slots(tx, view.client_id, view.rules, request.which))
        spans = history.slot_history(tx, rows, view.rules, window)
        outages = history.outages(tx, view.client_id, window)
        runs = history.run_spans(tx, window)
    return {
        "now": json_of(now),
        "conn_id": view.conn_id,
        "start": json_of(window.start),
        "end": json_of(window.end),
        "matching": total,
        "page": request.page,
        "pages": max(1, -(-total // TIMELINE_SIZE)),
        "slots": [
            {
                **json_of(row),
                "links": json_of(spans[row.slot_key]),
                "gaps": json_of(history.gaps_of(spans[row.slot_key])),
            }
            for row in rows
        ],
        "outages": json_of(outages),
        "runs": json_of(runs),
    }


def leaks(view: LedgerView) -> dict[str, Any]:
    """Return what has leaked, what became of it, and how long it was exposed."""
    with view.database.read() as tx:
        report = leak_report(tx, view.client_id)
        shown = shown_counts(tx, [row.link_id for row in report.flagged.rows])
    lists = {name: getattr(report, name) for name in ("flagged", "revoked", "irrevocable", "unaccounted")}
    return {
        "now": json_of(report.now),
        "conn_id": view.conn_id,
        "exposure_times": report.exposure_times,
        **{name: _links(view, found, report.now, shown) for name, found in lists.items()},
        "tombstones": {"total": report.tombstones.total, "rows": json_of(report.tombstones.rows)},
    }


def _links(view: LedgerView, found: Listing[LinkRow], now: datetime, shown: Mapping[str, int]) -> dict[str, Any]:
    rows = [
        {**leaked_link(row, now), "conn_id": view.conn_id, "slots": shown.get(row.link_id, 0)} for row in found.rows
    ]
    return {"total": found.total, "rows": rows}


def leaked_link(row: LinkRow, now: datetime) -> dict[str, Any]:
    """Return a link with the seconds it was exposed for, or is so far; ``None`` if it is not flagged."""
    exposure = None
    if row.flagged_at is not None:
        exposure = max(0.0, ((row.revoked_at or min(now, row.valid_until)) - row.flagged_at).total_seconds())
    return {**audit.as_json(row), "exposure_seconds": exposure, "next_attempt_at": json_of(row.next_attempt_at)}


def link_story(view: LedgerView, link_id: str) -> dict[str, Any] | None:
    """Return one link, where it is shown and what happened to it; ``None`` if it is not the connection's."""
    with view.database.read() as tx:
        row = by_id(tx, link_id)
        if row is None or row.client_id != view.client_id:
            return None
        now = tx.now()
        shown, events = audit.shown_slots(tx, link_id), audit.history(tx, link_id)
    planned = json_of(history.planned_renewal(row, view.rules))
    return {"now": json_of(now), "conn_id": view.conn_id, **leaked_link(row, now), "renews_at": planned,
            "slots": shown, "events": events}  # fmt: skip


def health(view: LedgerView) -> dict[str, Any]:
    """Return what is dark, due and overdue, which keys open nothing, and how long each audience can go without runs."""
    with view.database.read() as tx:
        counts = count_slots(tx, view.client_id, view.rules)
        late = overdue(tx, view.client_id)
        sealed = sealed_with(tx, view.client_id)
        now = tx.now()
    unopened = sum(group.links for group in sealed if not view.sealer.knows(group.sealed))
    return {
        "now": json_of(now),
        "conn_id": view.conn_id,
        "counts": by_state(counts),
        "overdue": json_of(late),
        "links_that_no_key_opens": unopened,
        "audiences": [_audience(name, counts, now) for name in sorted({count.audience for count in counts})],
    }


def is_well(health: Mapping[str, Any]) -> bool:
    """Return whether nothing is dark, at risk or overdue."""
    counts = health["counts"]
    return not (counts["dark"] or counts["at_risk"] or counts["overdue"] or health["overdue"])


def _audience(name: str, counts: Sequence[SlotCount], now: datetime) -> dict[str, Any]:
    """Return an audience's counts, and how long no slot of it goes dark although nothing is renewed any more."""
    own = [count for count in counts if count.audience == name]
    ends = [count.first_end for count in own if count.first_end is not None and count.state is not SlotState.DARK]
    first = min(ends, default=None)
    risks = [c.first_at_risk for c in own if c.first_at_risk is not None and c.state is not SlotState.DARK]
    return {
        "audience": name,
        "counts": by_state(own),
        "first_end": json_of(first),
        "first_renewal": json_of(min((c.first_renewal for c in own if c.first_renewal is not None), default=None)),
        "first_at_risk": json_of(min(risks, default=None)),
        "budget_seconds": None if first is None else (first - now).total_seconds(),
    }


def json_of(value: Any) -> Any:
    """Return a value as JSON: timestamps in ISO 8601, states by their values, dataclasses as objects."""
    if isinstance(value, datetime):
        return iso_text(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [json_of(entry) for entry in value]
    return value
