"""Flags, tombstones, and what a sweep reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, update

from pme_airflow.ledger.links import LinkRow, advance_all, load, lock, note, parts, query
from pme_airflow.ledger.run_context import process_is_dead
from pme_airflow.ledger.states import ALIVE, Event, State
from pme_airflow.ledger.tables import EPOCH, UTCMoment, claims, flags, links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "Due",
    "Flagged",
    "anything_to_close",
    "count_due",
    "denied",
    "expire",
    "flag",
    "next_due_at",
    "revoked",
    "take_due",
    "tombstones_among",
]

#: How long a sweep keeps others away from the rows it took.
_SWEEP_TTL = timedelta(seconds=180)
#: How often a token that could not be revoked is tried again.
_SLOW_PACE = timedelta(minutes=30)
#: Said as a range, which every database answers from the index of flags; "is not null" SQLite would not.
_is_flagged = links.c.flagged_at > EPOCH
#: Said so that no database takes all that is not flagged from that index, where few are due.
_never = literal(EPOCH, UTCMoment())
_is_not_flagged = func.coalesce(links.c.flagged_at, _never) == _never
_named = select(links.c.link_id, links.c.fingerprint)


@dataclass(frozen=True)
class Flagged:
    """What a flag met.

    :param links: the links it flagged, or found flagged.
    :param tombstones: fingerprints no link has yet; kept.
    :param unknown: link ids, models and audiences of which nothing is alive.
    """

    links: tuple[LinkRow, ...] = ()
    tombstones: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Due:
    """A link a sweep took."""

    row: LinkRow

    @property
    def flagged(self) -> bool:
        """Whether it leaked, rather than being replaced."""
        return self.row.flagged_at is not None


def flag(
    tx: WriteTransaction,
    reason: str,
    fingerprints: Sequence[str] = (),
    link_ids: Sequence[str] = (),
    models: Sequence[str] = (),
    audiences: Sequence[str] = (),
) -> Flagged:
    """Flag links. Fingerprints of no link are kept as tombstones, so that a later mint finds itself flagged."""
    now = tx.now()
    wanted: list[str] = []
    unknown: list[str] = []
    met: set[str] = set()
    for part in parts(dict.fromkeys(fingerprints)):
        for row in tx.execute(_named.where(links.c.fingerprint.in_(part))):
            met.add(row.fingerprint)
            wanted.append(row.link_id)
    tombstones = tuple(mark for mark in dict.fromkeys(fingerprints) if mark not in met)
    alive = links.c.state.in_(sorted(ALIVE))
    for label, column, values in (
        ("link", links.c.link_id, link_ids),
        ("model", links.c.model_id, models),
        ("audience", links.c.audience, audiences),
    ):
        for value in dict.fromkeys(values):
            ids = [row.link_id for row in tx.execute(_named.where(column == value, alive))]
            wanted += ids
            if not ids:
                unknown.append(f"{label} {value}")
    chosen = lock(tx, wanted)
    marked = [row for row in chosen.values() if row.state in ALIVE]
    fresh = [row for row in marked if row.flagged_at is None]
    for part in parts(row.link_id for row in fresh):
        tx.execute(
            update(links)
            .where(links.c.link_id.in_(part), links.c.flagged_at.is_(None))
            .values(flagged_at=now, flag_reason=reason[:500], next_attempt_at=None, revoke_attempts=0)
        )
    note(tx, "flagged", [_about(row) for row in fresh], now, reason)
    stones = [
        {"fingerprint": mark, "flagged_at": now, "reason": reason[:500], "run": tx.run_context.run}
        for mark in tombstones
    ]
    tx.insert_missing(flags, stones)
    note(tx, "tombstone", [{"fingerprint": mark} for mark in tombstones], now, reason)
    return Flagged(tuple(chosen.values()), tombstones, tuple(unknown))


def take_due(
    tx: WriteTransaction,
    client_id: str,
    limit: int,
    *,
    flagged_only: bool = False,
) -> list[Due]:
    """Take the links to revoke next: flagged ones first, newest and longest-lived first, then retirements."""
    now = tx.now()
    free = or_(links.c.sweep_until.is_(None), links.c.sweep_until <= now)
    ready = or_(links.c.next_attempt_at.is_(None), links.c.next_attempt_at <= now)
    base = and_(links.c.state == State.LIVE, links.c.client_id == client_id, free, ready)
    # ordered by a value, not by the column: else SQLite reads all that is live in this order to find the few due
    newest = (func.coalesce(links.c.valid_until, _never).desc(), links.c.seq.desc())
    taken = _locked(tx, and_(base, _is_flagged), newest, limit)
    if len(taken) < limit and not flagged_only:
        due = and_(base, _is_not_flagged, links.c.retire_at <= now)
        taken += _locked(tx, due, newest, limit - len(taken))
    if taken:
        tx.execute(
            update(links)
            .where(links.c.seq.in_([row.seq for row in taken]))
            .values(sweep_owner=tx.run_context.uid, sweep_until=now + _SWEEP_TTL)
        )
    return [Due(row) for row in taken]


def next_due_at(tx: ReadTransaction, client_id: str) -> timedelta | None:
    """How long until the next flagged link may be tried again; ``None`` where none is left but irrevocable ones."""
    now = tx.now()
    moments = tx.execute(
        select(links.c.next_attempt_at, links.c.sweep_until).where(
            links.c.state == State.LIVE,
            links.c.client_id == client_id,
            links.c.irrevocable.is_(False),
            or_(_is_flagged, links.c.retire_at <= now),
        )
    ).all()
    waits = [max(m.next_attempt_at or now, m.sweep_until or now) - now for m in moments]
    return max(min(waits), timedelta(0)) if waits else None


def revoked(tx: WriteTransaction, rows: Sequence[LinkRow], verified: dict[str, str]) -> list[LinkRow]:
    """Record the API's ``true``: the sealed text is erased, the fingerprint stays. Returns what was not so before."""
    now = tx.now()
    current = lock(tx, [row.link_id for row in rows])
    going = [row for row in current.values() if row.state is State.LIVE]
    gone: dict[str, Any] = {"sealed": None, "revoked_at": now, "irrevocable": False, "sweep_owner": None,
                            "sweep_until": None}  # fmt: skip
    by_reason: dict[str, list[tuple[LinkRow, dict[str, Any]]]] = {}
    for row in going:
        values = {**gone, "verified": verified.get(row.link_id), "revoke_attempts": row.revoke_attempts + 1}
        by_reason.setdefault(row.flag_reason or "no slot shows it any more", []).append((row, values))
    for reason, changes in by_reason.items():
        advance_all(tx, changes, Event.REVOKED, now, reason)
    return going


def denied(
    tx: WriteTransaction,
    answers: Sequence[tuple[LinkRow, str, bool, timedelta]],
    max_attempts: int,
    server_now: datetime,
) -> tuple[list[LinkRow], list[LinkRow]]:
    """Record answers that were not ``true``: each with its reason, whether it counts, and how long to wait.

    :return: the links that expired on their own, and those that became irrevocable just now.
    """
    now = tx.now()
    current = lock(tx, [row.link_id for row, *_ in answers])
    expired: list[LinkRow] = []
    given_up: list[LinkRow] = []
    for row, reason, counts, wait in answers:
        fresh = current[row.link_id]
        if fresh.state is not State.LIVE:
            continue
        if counts and fresh.valid_until <= server_now:
            expired.append(fresh)
            continue
        attempts = fresh.revoke_attempts + (1 if counts else 0)
        hopeless = attempts >= max_attempts
        pace = max(wait, _SLOW_PACE) if hopeless else wait
        tx.execute(
            update(links)
            .where(links.c.seq == fresh.seq)
            .values(
                revoke_attempts=attempts,
                next_attempt_at=now + pace,
                irrevocable=hopeless or fresh.irrevocable,
                sweep_owner=None,
                sweep_until=None,
            )
        )
        note(tx, "not_revoked", [_about(fresh)], now, reason)
        if hopeless and not fresh.irrevocable:
            given_up.append(fresh)
            said = f"{attempts} attempts; tried slowly until it expires"
            note(tx, "irrevocable", [_about(fresh)], now, said)
    _expire(tx, expired, server_now, "past its end, and the API would not confirm its revocation")
    return expired, given_up


def expire(tx: WriteTransaction, server_now: datetime, limit: int = 1000) -> int:
    """Close what has ended by the server's clock, and what a dead worker left behind; erase their sealed texts."""
    now = tx.now()
    past = and_(links.c.state.in_([State.LIVE, State.UNACCOUNTED]), links.c.valid_until <= server_now)
    rows = _locked(tx, past, (links.c.valid_until,), limit)
    _expire(tx, rows, server_now, "ended on its own")
    minting = _locked(tx, links.c.state == State.MINTING, (links.c.seq,), limit)
    keys = {f"mint:{row.audience}/{row.model_id}" for row in minting}
    held = {
        key: (owner, process)
        for key, owner, process in tx.execute(
            select(claims.c.claim_key, claims.c.owner, claims.c.process).where(
                claims.c.claim_key.in_(sorted(keys)), claims.c.expires_at > now
            )
        )
    }
    orphaned = [row for row in minting if _unheld(row, held)]
    advance_all(
        tx,
        [(row, {}) for row in orphaned],
        Event.ABANDONED,
        server_now,
        "its worker went away before the answer came",
    )
    return len(rows)


def anything_to_close(tx: ReadTransaction, server_now: datetime) -> bool:
    """Whether :func:`expire` would find anything."""
    past = and_(links.c.state.in_([State.LIVE, State.UNACCOUNTED]), links.c.valid_until <= server_now)
    # asked one by one: of both together a database may think that reading the whole table soon finds one
    kinds = (past, links.c.state == State.MINTING)
    return any(tx.execute(select(links.c.seq).where(kind).limit(1)).first() is not None for kind in kinds)


def count_due(tx: ReadTransaction, client_id: str) -> int:
    """How many flagged links are still alive, irrevocable ones left out."""
    query = select(func.count()).where(
        links.c.state == State.LIVE,
        links.c.client_id == client_id,
        _is_flagged,
        links.c.irrevocable.is_(False),
    )
    return int(tx.scalar(query) or 0)


def tombstones_among(tx: ReadTransaction, marks: Sequence[str]) -> list[str]:
    """Which fingerprints were flagged before any link had them."""
    found: list[str] = []
    for part in parts(marks):
        query = select(flags.c.fingerprint).where(flags.c.fingerprint.in_(part), flags.c.hit_at.is_not(None))
        found += tx.scalars(query)
    return sorted(found)


def _unheld(row: LinkRow, held: dict[str, tuple[str, str]]) -> bool:
    owner, process = held.get(f"mint:{row.audience}/{row.model_id}", ("", ""))
    return owner != row.run_uid or process_is_dead(process)


def _expire(tx: WriteTransaction, rows: Sequence[LinkRow], at: datetime, reason: str) -> None:
    changes = [(row, {"sealed": None, "sweep_owner": None, "sweep_until": None}) for row in rows]
    advance_all(tx, changes, Event.EXPIRED, at, reason)


def _locked(tx: WriteTransaction, where: ColumnElement[bool], order: Sequence[Any], limit: int) -> list[LinkRow]:
    """Rows nobody else is writing now; theirs are passed over, so that two sweeps share the work."""
    chosen = query().where(where).order_by(*order).limit(limit).with_for_update(skip_locked=True)
    return [load(row) for row in tx.execute(chosen)]


def _about(row: LinkRow) -> dict[str, Any]:
    return {"link_id": row.link_id, "model_id": row.model_id, "audience": row.audience,
            "fingerprint": row.fingerprint}  # fmt: skip
