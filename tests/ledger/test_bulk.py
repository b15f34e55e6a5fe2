"""Statements over many rows: what they write, whatever the database, and how often they are compiled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from unittest import mock

import pytest
from sqlalchemy import bindparam, func, insert, select, update

from pme_airflow.ledger import bulk
from pme_airflow.ledger.bulk import execute_rows, insert_missing, insert_rows, one_of
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import EPOCH, claims, events, paces
from tests.support.clocks import FakeClock
from tests.support.databases import fresh
from tests.support.ledgers import ledger_at

SHARED = {"owner": "uid", "process": "host|1|1", "expires_at": EPOCH}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_rows_are_written_changed_and_found_alike_on_every_database(servers: Callable[[str], str], kind: str) -> None:
    database = ledger_at(fresh(servers(kind)))
    names = ["a", "b\x00c", "caf\u00e9", "\ud800", "x" * 300, "d'e\"f\\"]
    later = EPOCH + timedelta(microseconds=1)
    move = update(claims).where(claims.c.claim_key == bindparam("b_key", type_=claims.c.claim_key.type))
    move = move.values(expires_at=bindparam("b_until", type_=claims.c.expires_at.type))
    with database.write() as tx:
        insert_rows(tx, claims, {"claim_key": names}, SHARED)
        insert_rows(tx, claims, {"claim_key": ["a", "new"]}, {**SHARED, "owner": "other"}, skip_existing=True)
        execute_rows(tx, move, {"b_key": names[:2]}, {"b_until": later})
    with database.read() as tx:
        query = select(claims.c.claim_key, claims.c.owner, claims.c.expires_at)
        found = tx.execute(query.where(one_of(tx, claims.c.claim_key, [*names, "absent"]))).all()
        assert len(found) == len(names)
        assert {row.owner for row in found} == {"uid"}
        assert {row.claim_key for row in found if row.expires_at == later} == {"a", "b\ufffdc"}
        assert tx.scalars(query.where(one_of(tx, claims.c.claim_key, []))).all() == []
        assert tx.scalar(select(claims.c.owner).where(one_of(tx, claims.c.claim_key, ["new"]))) == "other"
        assert tx.scalars(select(events.c.seq).where(one_of(tx, events.c.seq, [1, 2]))).all() == []


def test_a_statement_is_compiled_once(ledger: Database) -> None:
    with ledger.write() as tx, mock.patch.object(bulk._SQLITE, "statement_compiler") as compiler:
        compiler.side_effect = AssertionError("compiled again")
        with pytest.raises(AssertionError, match="compiled again"):
            insert_rows(tx, claims, {"expires_at": [EPOCH], "claim_key": ["z"]})
        compiler.side_effect = None
    with ledger.write() as tx:
        insert_rows(tx, claims, {"claim_key": ["a"]}, SHARED)
    with ledger.write() as tx, mock.patch.object(bulk._SQLITE, "statement_compiler") as compiler:
        insert_rows(tx, claims, {"claim_key": [f"k{index}" for index in range(700)]}, SHARED)
    assert not compiler.called


def test_rows_whose_key_exists_are_left_as_they_are(ledger: Database, clock: FakeClock) -> None:
    rows = [{"pace_key": key, "next_at": clock.now()} for key in "abc"]
    with ledger.write() as tx:
        insert_missing(tx, paces, [])
        assert tx.scalar(select(func.count()).select_from(paces)) == 0
        tx.execute(insert(paces), {"pace_key": "b", "next_at": EPOCH})
        insert_missing(tx, paces, rows)
    query = select(paces.c.pace_key, paces.c.next_at).order_by(paces.c.pace_key)
    with ledger.read() as tx:
        assert [tuple(row) for row in tx.execute(query)] == [("a", clock.now()), ("b", EPOCH), ("c", clock.now())]
        assert tx.scalars(query).all() == ["a", "b", "c"]
        assert tx.scalar(query) == "a"
        assert tx.scalar(query.where(paces.c.pace_key == "none")) is None
