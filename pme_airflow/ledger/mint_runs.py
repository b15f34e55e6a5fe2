"""Mint runs: one mint task's work from start to end, and which other runs it overlaps with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, insert, select, update

from pme_airflow.ledger import claims
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import links, runs
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["MintRun", "begin", "finish", "keep_alive"]


@dataclass(frozen=True)
class MintRun:
    """One mint's work from start to end.

    :param started_after_seq: links beyond this one were requested after the mint run began.
    :param concurrent_runs: the mint runs that were under way when it began, by their uid.
    """

    run_context: RunContext
    started_after_seq: int
    concurrent_runs: frozenset[str]


def begin(tx: WriteTransaction) -> MintRun:
    """Begin a mint run."""
    now = tx.now()
    # Whichever way the clock was set since: a run that seems to have been seen long before or after now is over.
    recently = runs.c.seen_at.between(now - claims.CLAIM_TTL, now + claims.CLAIM_TTL)
    concurrent_runs = tx.scalars(select(runs.c.run_uid).where(recently, runs.c.finished_at.is_(None)))
    mint_run = MintRun(tx.run_context, tx.scalar(select(func.max(links.c.seq))) or 0, frozenset(concurrent_runs))
    tx.execute(insert(runs).values(run_uid=tx.run_context.uid, run=tx.run_context.run, started_at=now, seen_at=now))
    return mint_run


def keep_alive(tx: WriteTransaction) -> None:
    """Record that the mint run goes on, and extend its claims."""
    now = tx.now()
    tx.execute(update(runs).where(runs.c.run_uid == tx.run_context.uid).values(seen_at=now))
    claims.extend(tx)


def finish(tx: WriteTransaction) -> None:
    """End the mint run, and release its claims."""
    now = tx.now()
    claims.release_all(tx)
    tx.execute(update(runs).where(runs.c.run_uid == tx.run_context.uid).values(seen_at=now, finished_at=now))
