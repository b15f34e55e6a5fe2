"""Claims: leases on minting for a model or writing a slot. They expire, so a killed owner blocks nobody for long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update

from pme_airflow.ledger.bulk import insert_rows, one_of
from pme_airflow.ledger.processes import process_is_dead
from pme_airflow.ledger.tables import claims
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["CLAIM_TTL", "extend", "held", "release", "release_all", "take"]

#: How long a claim lasts unless its owner extends it.
CLAIM_TTL = timedelta(seconds=45)


def take(tx: WriteTransaction, keys: Iterable[str]) -> set[str]:
    """Claim the keys that are free, and extend those that this run holds; return the keys that it holds now.

    A claim is free once it has expired, or if its owner's process is known to be dead.
    """
    wanted = sorted(set(keys))
    now = tx.now()
    row = {"owner": tx.run_context.uid, "process": tx.run_context.process, "expires_at": now + CLAIM_TTL}
    insert_rows(tx, claims, {"claim_key": wanted}, row, skip_existing=True)
    query = select(claims).where(one_of(tx, claims.c.claim_key, wanted)).order_by(claims.c.claim_key).with_for_update()
    found = tx.execute(query).all()
    ours = [r for r in found if r.owner == tx.run_context.uid or _is_free(r.expires_at, r.process, now)]
    stale = [r.claim_key for r in ours if (r.owner, r.expires_at) != (row["owner"], row["expires_at"])]
    if stale:
        tx.execute(update(claims).where(claims.c.claim_key.in_(stale)).values(**row))
    taken = {r.claim_key for r in ours}
    _limit(tx, [r.claim_key for r in found if r.claim_key not in taken and r.expires_at > row["expires_at"]], now)
    return taken


def held(tx: WriteTransaction, keys: Iterable[str]) -> set[str]:
    """Return the claims that this run still holds and that have not expired."""
    now = tx.now()
    return set(_lock_ours(tx, one_of(tx, claims.c.claim_key, set(keys)), claims.c.expires_at > now))


def extend(tx: WriteTransaction) -> None:
    """Extend every claim of this run that has not expired."""
    now = tx.now()
    keys = _lock_ours(tx, claims.c.expires_at > now)
    tx.execute(update(claims).where(claims.c.claim_key.in_(keys)).values(expires_at=now + CLAIM_TTL))


def release(tx: WriteTransaction, keys: Iterable[str]) -> None:
    """Release the given claims of this run."""
    wanted = set(keys)
    if not wanted:
        return
    ours = claims.c.owner == tx.run_context.uid, one_of(tx, claims.c.claim_key, wanted)
    if tx.dialect == "postgresql":  # elsewhere writers take turns, so that none deadlock
        _lock_ours(tx, ours[1])
    tx.execute(delete(claims).where(*ours))


def release_all(tx: WriteTransaction) -> None:
    """Release every claim of this run."""
    tx.execute(delete(claims).where(claims.c.claim_key.in_(_lock_ours(tx))))


def _lock_ours(tx: WriteTransaction, *which: ColumnElement[bool]) -> Sequence[str]:
    """Lock this run's claims in the order of their keys, so that no two transactions deadlock; return the keys."""
    ours = select(claims.c.claim_key).where(claims.c.owner == tx.run_context.uid, *which)
    return tx.scalars(ours.order_by(claims.c.claim_key).with_for_update()).all()


def _is_free(expires_at: datetime, process: str, now: datetime) -> bool:
    return expires_at <= now or process_is_dead(process)


def _limit(tx: WriteTransaction, keys: Sequence[str], now: datetime) -> None:
    """Shorten other runs' claims to the longest they can last: the clock was set back since they were taken."""
    if keys:
        tx.execute(update(claims).where(claims.c.claim_key.in_(keys)).values(expires_at=now + CLAIM_TTL))
