"""Conditions on links, written so that no database reads all live links where others of a query find few.

SQLite gathers no statistics here: it prefers the index of which a query gives most columns, and takes ``retire_at IS
NULL`` for a column that finds few rows, although nearly every live link meets it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, func, literal

from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import EPOCH, UTCTimestamp, links

__all__ = ["NEVER", "found_live", "is_flagged", "is_not_flagged", "is_not_retiring"]

#: A time before all others, in place of one that is not set.
NEVER = literal(EPOCH, UTCTimestamp())


def is_flagged(of: FromClause = links) -> ColumnElement[bool]:
    """Return whether a link is flagged: a range, since SQLite answers no "is not null" from the index of flags."""
    return of.c.flagged_at > EPOCH


def is_not_flagged(of: FromClause = links) -> ColumnElement[bool]:
    """Return whether a link is not flagged."""
    return func.coalesce(of.c.flagged_at, NEVER) == NEVER


def is_not_retiring(of: FromClause = links) -> ColumnElement[bool]:
    """Return whether no end is planned for a link."""
    return func.coalesce(of.c.retire_at, NEVER) == NEVER


def found_live(of: FromClause = links) -> ColumnElement[bool]:
    """Return whether a link is live, for queries that find it by a key of its own, as its fingerprint."""
    return func.coalesce(of.c.state, "") == State.LIVE
