"""Claims: who may work on a model or a slot now, with an end, so that a killed owner blocks nobody for long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update

from pme_airflow.ledger.processes import process_is_dead
from pme_airflow.ledger.tables import claims
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["CLAIM_TTL", "extend", "held", "release", "release_all", "take"]

#: How long a claim lasts unless its owner extends it.
CLAIM_TTL = timedelta(seconds=45)


def take(tx: WriteTransaction, keys: Iterable[str]) -> set[str]:
    """Claim what is free, ours already, past its end, or owned by a process known to be dead; return what is ours."""
    wanted = sorted(set(keys))
    now = tx.now()
    row = {"owner": tx.run_context.uid, "process": tx.run_context.process, "expires_at": now + CLAIM_TTL}
    tx.insert_missing(claims, [{"claim_key": key, **row} for key in wanted])
    query = select(claims).where(claims.c.claim_key.in_(wanted)).order_by(claims.c.claim_key).with_for_update()
    found = tx.execute(query).all()
    ours = {r.claim_key for r in found if r.owner == tx.run_context.uid}
    free = {r.claim_key for r in found if r.owner != tx.run_context.uid and _is_free(r.expires_at, r.process, now)}
    stale = free | {r.claim_key for r in found if r.owner == tx.run_context.uid and r.expires_at != row["expires_at"]}
    if stale:
        tx.execute(update(claims).where(claims.c.claim_key.in_(sorted(stale))).values(**row))
    return ours | free


def held(tx: WriteTransaction, keys: Iterable[str]) -> set[str]:
    """Which of the claims are still ours and not past their end."""
    now = tx.now()
    return set(_lock_ours(tx, claims.c.claim_key.in_(sorted(set(keys))), claims.c.expires_at > now))


def extend(tx: WriteTransaction) -> None:
    """Give every claim of ours that has not ended its full length again."""
    now = tx.now()
    keys = _lock_ours(tx, claims.c.expires_at > now)
    tx.execute(update(claims).where(claims.c.claim_key.in_(keys)).values(expires_at=now + CLAIM_TTL))


def release_all(tx: WriteTransaction) -> None:
    """Give every claim of ours back."""
    tx.execute(delete(claims).where(claims.c.claim_key.in_(_lock_ours(tx))))


def _lock_ours(tx: WriteTransaction, *which: ColumnElement[bool]) -> Sequence[str]:
    """Our claims, locked in the order of their keys, so that none deadlock."""
    ours = select(claims.c.claim_key).where(claims.c.owner == tx.run_context.uid, *which)
    return tx.scalars(ours.order_by(claims.c.claim_key).with_for_update()).all()


def release(tx: WriteTransaction, keys: Iterable[str]) -> None:
    """Give claims of ours back."""
    wanted = sorted(set(keys))
    if wanted:
        tx.execute(delete(claims).where(claims.c.claim_key.in_(wanted), claims.c.owner == tx.run_context.uid))


def _is_free(expires_at: datetime, process: str, now: datetime) -> bool:
    return expires_at <= now or process_is_dead(process)
