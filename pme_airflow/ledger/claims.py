"""Claims: who may work on a model or a slot now, with an end, so that a killed owner blocks nobody for long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, select, update

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.run_context import RunContext, process_is_dead
from pme_airflow.ledger.tables import claims

__all__ = ["CLAIM_TTL", "extend", "held", "release", "release_all", "take"]

#: How long a claim lasts unless its owner extends it.
CLAIM_TTL = timedelta(seconds=45)


def take(database: Database, connection: Connection, keys: Iterable[str], actor: RunContext) -> set[str]:
    """Claim what is free, ours already, past its end, or owned by a process known to be dead; return what is ours."""
    wanted = sorted(set(keys))
    now = database.shared_now(connection)
    row = {"owner": actor.uid, "process": actor.process, "expires_at": now + CLAIM_TTL}
    database.insert_missing(connection, claims, [{"claim_key": key, **row} for key in wanted])
    query = select(claims).where(claims.c.claim_key.in_(wanted)).order_by(claims.c.claim_key).with_for_update()
    found = connection.execute(query).all()
    ours = {r.claim_key for r in found if r.owner == actor.uid}
    free = {r.claim_key for r in found if r.owner != actor.uid and _is_free(r.expires_at, r.process, now)}
    stale = free | {r.claim_key for r in found if r.owner == actor.uid and r.expires_at != row["expires_at"]}
    if stale:
        connection.execute(update(claims).where(claims.c.claim_key.in_(sorted(stale))).values(**row))
    return ours | free


def held(database: Database, connection: Connection, keys: Iterable[str], actor: RunContext) -> set[str]:
    """Which of the claims are still ours and not past their end."""
    now = database.shared_now(connection)
    return set(_lock_ours(connection, actor, claims.c.claim_key.in_(sorted(set(keys))), claims.c.expires_at > now))


def extend(database: Database, connection: Connection, actor: RunContext) -> None:
    """Give every claim of ours that has not ended its full length again."""
    now = database.shared_now(connection)
    keys = _lock_ours(connection, actor, claims.c.expires_at > now)
    connection.execute(update(claims).where(claims.c.claim_key.in_(keys)).values(expires_at=now + CLAIM_TTL))


def release_all(connection: Connection, actor: RunContext) -> None:
    """Give every claim of ours back."""
    connection.execute(delete(claims).where(claims.c.claim_key.in_(_lock_ours(connection, actor))))


def _lock_ours(connection: Connection, actor: RunContext, *which: ColumnElement[bool]) -> Sequence[str]:
    """Our claims, locked in the order of their keys, so that none deadlock."""
    ours = select(claims.c.claim_key).where(claims.c.owner == actor.uid, *which)
    return connection.scalars(ours.order_by(claims.c.claim_key).with_for_update()).all()


def release(connection: Connection, keys: Iterable[str], actor: RunContext) -> None:
    """Give claims of ours back."""
    wanted = sorted(set(keys))
    if wanted:
        connection.execute(delete(claims).where(claims.c.claim_key.in_(wanted), claims.c.owner == actor.uid))


def _is_free(expires_at: datetime, process: str, now: datetime) -> bool:
    return expires_at <= now or process_is_dead(process)
