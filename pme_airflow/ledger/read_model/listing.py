"""The first rows of a query, and how many it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, Select, func, select

from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["Listing", "listing"]

T = TypeVar("T")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """The first rows of a query.

    :param total: how many rows it has, of which ``rows`` may be the first.
    """

    rows: tuple[T, ...] = ()
    total: int = 0


def listing(tx: ReadTransaction, query: Select[Any], load: Callable[[Row[Any]], T], limit: int) -> Listing[T]:
    """Return the first rows of a query, and count all of them if there are more."""
    rows = tx.execute(query.limit(limit + 1)).all()
    total = len(rows)
    if total > limit:
        total = int(tx.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0)
    return Listing(tuple(load(row) for row in rows[:limit]), total)
