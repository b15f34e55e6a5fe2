"""Records the results of revocations, and closes links that have expired or whose worker is dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, select, update

from pme_airflow.ledger.bulk import one_of
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.links import LinkRow, advance_all, lock
from pme_airflow.ledger.liveness import DEAD
from pme_airflow.ledger.processes import process_is_dead
from pme_airflow.ledger.states import Event, State
from pme_airflow.ledger.sweep_queue import LONGEST_WAIT, lock_free
from pme_airflow.ledger.tables import claims, links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["NotRevokedAnswer", "NotRevokedOutcome", "anything_to_close", "denied", "expire", "revoked"]


@dataclass(frozen=True)
class NotRevokedAnswer:
    """A revocation that the API did not confirm.

    :param row: the link that was to be revoked.
    :param reason: why it was not, for the audit.
    :param counts: whether the API denied it. An outage, a refusal for the rate or an answer that never came denies
        nothing: however many of those there are, no link becomes irrevocable by them.
    :param wait: how long to wait before the next attempt; half an hour at most.
    """

    row: LinkRow
    reason: str
    counts: bool
    wait: timedelta


@dataclass(frozen=True)
class NotRevokedOutcome:
    """The recorded results of revocations that were not confirmed.

    :param expired: the links that had ended on their own.
    :param irrevocable: the links that became irrevocable just now.
    """

    expired: tuple[LinkRow, ...] = ()
    irrevocable: tuple[LinkRow, ...] = ()


def revoked(tx: WriteTransaction, rows: Sequence[LinkRow], verified: Mapping[str, str]) -> list[LinkRow]:
    """Record the API's ``true``: the sealed text is erased, the fingerprint stays.

    :param verified: what became of asking the link itself, by link id.
    :return: the links that were not revoked before.
    """
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
    tx: WriteTransaction, answers: Sequence[NotRevokedAnswer], max_attempts: int, server_now: datetime
) -> NotRevokedOutcome:
    """Record revocations that the API did not confirm.

    :param max_attempts: after so many answers that count a link is irrevocable.
    :param server_now: the server's time at the earliest: a link past its end has expired.
    """
    now = tx.now()
    current = lock(tx, [answer.row.link_id for answer in answers])
    expired: list[LinkRow] = []
    dead: list[LinkRow] = []
    irrevocable: list[LinkRow] = []
    for answer in answers:
        row = current[answer.row.link_id]
        if row.state is not State.LIVE:
            continue
        if answer.counts and (row.valid_until <= server_now or row.verified == DEAD):
            (dead if row.verified == DEAD else expired).append(row)
            continue
        if _deny(tx, row, answer, max_attempts, now):
            irrevocable.append(row)
    _expire(tx, expired, server_now, "past its end, and the API would not confirm its revocation")
    _expire(tx, dead, now, "the API accepted its token no more, and would not revoke it")
    return NotRevokedOutcome((*expired, *dead), tuple(irrevocable))


def _deny(tx: WriteTransaction, row: LinkRow, answer: NotRevokedAnswer, max_attempts: int, now: datetime) -> bool:
    """Record one answer; return whether the link became irrevocable just now."""
    attempts = row.revoke_attempts + (1 if answer.counts else 0)
    hopeless = answer.counts and attempts >= max_attempts
    wait = LONGEST_WAIT if hopeless else min(answer.wait, LONGEST_WAIT)
    tx.execute(
        update(links)
        .where(links.c.seq == row.seq)
        .values(
            revoke_attempts=attempts,
            next_attempt_at=now + wait,
            irrevocable=hopeless or row.irrevocable,
            sweep_owner=None,
            sweep_until=None,
        )
    )
    record_events(tx, "not_revoked", [row.subject], now, answer.reason)
    if not hopeless or row.irrevocable:
        return False
    record_events(tx, "irrevocable", [row.subject], now, f"{attempts} attempts; tried slowly until it expires")
    return True


def expire(tx: WriteTransaction, server_now: datetime, limit: int = 1000) -> int:
    """Close links that have expired by the server's clock, and mints of dead workers; erase the sealed texts.

    :return: how many links had ended.
    """
    past = and_(links.c.state.in_([State.LIVE, State.UNACCOUNTED]), links.c.valid_until <= server_now)
    rows = lock_free(tx, past, (links.c.valid_until,), limit)
    _expire(tx, rows, server_now, "ended on its own")
    minting = lock_free(tx, links.c.state == State.MINTING, (links.c.seq,), limit)
    owners = _claim_owners(tx, minting)
    advance_all(
        tx,
        [(row, {}) for row in minting if not _has_living_owner(row, owners)],
        Event.ABANDONED,
        server_now,
        "its worker went away before the answer came",
    )
    return len(rows)


def anything_to_close(tx: ReadTransaction, server_now: datetime) -> bool:
    """Return whether :func:`expire` would find anything."""
    past = and_(links.c.state.in_([State.LIVE, State.UNACCOUNTED]), links.c.valid_until <= server_now)
    # Queried one by one: of both together a database may estimate that reading the whole table soon finds one.
    kinds = (past, links.c.state == State.MINTING)
    return any(tx.execute(select(links.c.seq).where(kind).limit(1)).first() is not None for kind in kinds)


@dataclass(frozen=True)
class _ClaimOwner:
    uid: str
    process: str


def _claim_owners(tx: ReadTransaction, minting: Sequence[LinkRow]) -> dict[str, _ClaimOwner]:
    """Return the owners of the claims on some links' mints, by claim key."""
    wanted = sorted({row.claim_key for row in minting})
    query = select(claims.c.claim_key, claims.c.owner, claims.c.process).where(
        one_of(tx, claims.c.claim_key, wanted), claims.c.expires_at > tx.now()
    )
    return {row.claim_key: _ClaimOwner(row.owner, row.process) for row in tx.execute(query)}


def _has_living_owner(row: LinkRow, owners: Mapping[str, _ClaimOwner]) -> bool:
    owner = owners.get(row.claim_key)
    return owner is not None and owner.uid == row.run_uid and not process_is_dead(owner.process)


def _expire(tx: WriteTransaction, rows: Sequence[LinkRow], at: datetime, reason: str) -> None:
    changes = [(row, {"sealed": None, "sweep_owner": None, "sweep_until": None}) for row in rows]
    advance_all(tx, changes, Event.EXPIRED, at, reason)
