"""Leaks: what is flagged and alive, what was revoked and how long it was exposed, tombstones, unaccounted tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from pme_airflow.ledger.conditions import is_flagged
from pme_airflow.ledger.links import LinkRow, load, query, with_models
from pme_airflow.ledger.read_model.listing import Listing, listing
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.tables import flags, links, publications
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["Exposure", "ExposureTimes", "LeakReport", "Tombstone", "leak_report", "shown_counts"]

_EXPOSURE_PERIOD = timedelta(days=30)


@dataclass(frozen=True)
class ExposureTimes:
    """How long leaked tokens lived after their flag, in seconds.

    :param ended: of the revocations of the last 30 days.
    :param running: of tokens that are still alive.
    """

    ended: tuple[float, ...] = ()
    running: tuple[float, ...] = ()

    def summary(self) -> Exposure:
        """Return what of them is shown."""
        ordered = sorted(self.ended)
        worst = max([*ordered, *self.running], default=None)
        return Exposure(len(ordered), _percentile(ordered, 50), _percentile(ordered, 95), worst)


@dataclass(frozen=True)
class Exposure:
    """A summary of exposure_times, in seconds.

    :param worst: of the tokens that are still alive, too.
    """

    revoked: int
    median: float | None
    percentile_95: float | None
    worst: float | None


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that at least so many percent of all values do not exceed."""
    if not ordered:
        return None
    return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(frozen=True)
class Tombstone:
    """A flag for a fingerprint that no link had when it was flagged.

    :param hit_at: when a link with it was recorded; ``None`` if none was.
    """

    fingerprint: str
    flagged_at: datetime
    reason: str
    run: str
    hit_at: datetime | None


@dataclass(frozen=True)
class LeakReport:
    """What has leaked, as far as a client's links are concerned.

    :param flagged: flagged links whose token may be alive, the oldest flag first.
    :param revoked: flagged links whose revocation was confirmed in the last 30 days, newest first.
    :param exposure_times: the seconds of each revoked one, and those of the oldest flag that is alive so far.
    :param irrevocable: links that the API would not revoke, the latest end first.
    :param unaccounted: links whose response was lost, the latest end first.
    """

    now: datetime
    flagged: Listing[LinkRow]
    revoked: Listing[LinkRow]
    exposure_times: ExposureTimes
    irrevocable: Listing[LinkRow]
    unaccounted: Listing[LinkRow]
    tombstones: Listing[Tombstone]


def leak_report(tx: ReadTransaction, client_id: str, limit: int = 200) -> LeakReport:
    """Report a client's leaks; tombstones are of all clients, since nobody knows whose they are."""
    now = tx.now()
    own = links.c.client_id == client_id
    flagged = is_flagged()
    alive = (own, links.c.state.in_(sorted(ALIVE)), flagged)
    revoked = (own, links.c.state == State.REVOKED, flagged, links.c.revoked_at >= now - _EXPOSURE_PERIOD)
    irrevocable = (own, links.c.state == State.LIVE, links.c.irrevocable.is_(True))
    unaccounted = (own, links.c.state == State.UNACCOUNTED, links.c.valid_until > now)
    return LeakReport(
        now,
        _links(tx, alive, links.c.flagged_at, limit),
        _links(tx, revoked, links.c.revoked_at.desc(), limit),
        _exposure_times(tx, alive, revoked, now),
        _links(tx, irrevocable, links.c.valid_until.desc(), limit),
        _links(tx, unaccounted, links.c.valid_until.desc(), limit),
        _tombstones(tx, limit),
    )


def _links(tx: ReadTransaction, where: Sequence[ColumnElement[bool]], order: Any, limit: int) -> Listing[LinkRow]:
    ordered = query().where(*where).order_by(order, links.c.seq)
    found = listing(tx, ordered, load, limit)
    return Listing(tuple(with_models(tx, found.rows)), found.total)


def _exposure_times(
    tx: ReadTransaction, alive: Sequence[ColumnElement[bool]], revoked: Sequence[ColumnElement[bool]], now: datetime
) -> ExposureTimes:
    ended = tx.execute(select(links.c.flagged_at, links.c.revoked_at).where(*revoked))
    exposed = [max(0.0, (end - start).total_seconds()) for start, end in ended]
    oldest = tx.scalar(select(func.min(links.c.flagged_at)).where(*alive))
    running = [] if oldest is None else [(now - oldest).total_seconds()]
    return ExposureTimes(tuple(exposed), tuple(running))


def _tombstones(tx: ReadTransaction, limit: int) -> Listing[Tombstone]:
    columns = (flags.c.fingerprint, flags.c.flagged_at, flags.c.reason, flags.c.run, flags.c.hit_at)
    newest = select(*columns).order_by(flags.c.flagged_at.desc(), flags.c.fingerprint)
    return listing(tx, newest, lambda row: Tombstone(**row._mapping), limit)


def shown_counts(tx: ReadTransaction, link_ids: Sequence[str]) -> dict[str, int]:
    """Return how many slots show each of some links; at most 500 of them."""
    shown = select(publications.c.link_id, func.count()).where(publications.c.link_id.in_(list(link_ids)))
    return {row[0]: int(row[1]) for row in tx.execute(shown.group_by(publications.c.link_id))}
