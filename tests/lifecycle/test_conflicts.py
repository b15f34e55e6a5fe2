"""Every transaction of a use case is repeated when other writers come in its way, and repeating it changes nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

import pme_airflow
from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerConflictError
from pme_airflow.ledger import audit
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.account_models import ModelQuery, list_models
from pme_airflow.lifecycle.former_names import move_former_publications
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.reseal import reseal
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.support.rooms import Shelf, mint, publish, rename, rows, sweep

ALL = list(MODELS)[:8]
#: What makes a server end the transaction as it would for a serialization failure, or for a deadlock.
FAILURES = {
    "postgresql": ("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$",
                   "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"),
    "mysql": ("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213", "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020"),
}  # fmt: skip


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets every other transaction that writes fail once all of its work is done; the errors that were raised."""
    write = Database.write
    turns = itertools.count()
    raised: list[str] = []

    def fail(tx: WriteTransaction, turn: int) -> None:
        statements = FAILURES.get("mysql" if tx.dialect == "mariadb" else tx.dialect)
        raised.append(statements[turn // 2 % 2] if statements else "conflict")
        if statements is None:
            raise LedgerConflictError("another writer")
        tx.execute(text(raised[-1]))

    @contextmanager
    def failing(self: Database, run_context: RunContext | None = None) -> Iterator[WriteTransaction]:
        with write(self, run_context) as tx:
            yield tx
            turn = next(turns)
            if turn % 2 == 0:
                fail(tx, turn)

    monkeypatch.setattr(Database, "write", failing)
    return raised


def test_a_nights_work_with_conflicts_is_done_once(services: Services, world: World, conflicts: list[str]) -> None:
    services.database.prepare()
    shelf = Shelf()
    for night in ("monday", "tuesday"):
        minted = mint(services, night, ALL)
        assert (len(minted.items), list(minted.failures)) == (8, [])
        published = publish(services, night, shelf, minted.items)
        assert (len(published.published), published.failed) == (8, [])
    assert len(world.tokens) == 16
    assert len(rows(services, "live")) == 16
    assert len(conflicts) > 8

    leaked = [issued.token for issued in world.alive()][-2:]
    response = respond(services, RunContext("dag/leak/flag/-1"), LeakRequest(tuple(leaked), reason="x", sweep=True))
    assert [link.row.state.value for link in response.links] == ["revoked", "revoked"]
    assert {issued.token for issued in world.alive()}.isdisjoint(leaked)
    with services.database.read() as tx:
        events = [event["event"] for event in audit.export_events(tx)]
    counted = {name: events.count(name) for name in ("requested", "made", "published", "flagged", "revoked")}
    assert counted == {"requested": 16, "made": 16, "published": 16, "flagged": 2, "revoked": 2}


def test_clearing_moving_listing_and_resealing_with_conflicts_are_done_once(
    services: Services, world: World, conflicts: list[str]
) -> None:
    shelf = Shelf()
    minted = mint(services, "monday", ModelQuery("*"))
    publish(services, "monday", shelf, minted.items)
    rename(services, "shelf", "former shelf")
    shelf.former_names = ("former shelf",)
    assert move_former_publications(services, RunContext("dag/x/move/-1"), shelf) == len(MODELS)
    publish(services, "monday", shelf, minted.items)
    assert len(shelf.puts) == len(MODELS)
    assert len(list_models(services, RunContext("dag/x/list/-1"), "intranet", ModelQuery("*")).models) == len(MODELS)
    Publisher(services, RunContext("dag/tuesday/publish/-1"), shelf).retire_others("intranet", ALL[:2])
    assert len(shelf.shown) <= len(MODELS)
    assert reseal(services, RunContext("dag/x/reseal/-1")).moved == 0
    swept = sweep(services, deadline=timedelta(seconds=30))
    assert not swept.irrevocable
    assert len(world.tokens) == len(MODELS)
    assert conflicts


def test_no_use_case_writes_in_a_transaction_that_is_not_repeated() -> None:
    package = Path(pme_airflow.__file__).parent
    files = [path for room in ("lifecycle", "cli", "hooks", "operators") for path in (package / room).rglob("*.py")]
    files.append(package / "refresh.py")
    assert [path.name for path in files if re.search(r"database\.write\(", path.read_text())] == []
