"""Conditions on links find what they say, whatever is not set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import ColumnElement, FromClause, select

from pme_airflow.ledger.conditions import found_live, is_flagged, is_not_flagged, is_not_retiring
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import links
from tests.support.clocks import FakeClock
from tests.support.ledgers import insert_link, ledger_in_memory

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
LINKS = {
    "plain": {},
    "flagged": {"flagged_at": NOW},
    "retiring": {"retire_at": NOW + timedelta(minutes=15)},
    "revoked": {"state": "revoked"},
}


@pytest.fixture(scope="module")
def ledger() -> Database:
    database = ledger_in_memory(FakeClock(NOW))
    for name, values in LINKS.items():
        insert_link(database, name, NOW, **{"state": "live", **values})
    return database


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (is_flagged, {"flagged"}),
        (is_not_flagged, {"plain", "retiring", "revoked"}),
        (is_not_retiring, {"plain", "flagged", "revoked"}),
        (found_live, {"plain", "flagged", "retiring"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("of", [links, links.alias("newer")], ids=["links", "alias"])
def test_a_condition_finds_its_links(
    ledger: Database, condition: Callable[[FromClause], ColumnElement[bool]], found: set[str], of: FromClause
) -> None:
    with ledger.read() as tx:
        assert set(tx.scalars(select(of.c.link_id).where(condition(of)))) == found
