"""Whatever isolation a database has by default, tasks that run at once do not fail; conflicts are tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pymysql
import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from pme_airflow.errors import LedgerConflictError, LedgerError
from pme_airflow.ledger import audit, claims, flags, mint_requests, mint_runs, publications, slot_claims
from pme_airflow.ledger.bulk import insert_missing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Busy, PendingMint, Reuse
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.tables import paces
from pme_airflow.ledger.transaction import WriteTransaction
from tests.support.clocks import FakeClock
from tests.support.databases import fresh
from tests.support.ledgers import CLIENT, DEMAND, begin_mint, ledger_at, mint, task
from tests.support.together import at_once

MODELS = [f"Model{index:06d}" for index in range(6)]
LEVELS = ["read committed", "repeatable read", "serializable"]


def strict(address: str, level: str, driver: str | None = None) -> str:
    """A database whose default is so strict."""
    url = make_url(address)
    with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} SET default_transaction_isolation = '{level}'"))
    url = url if driver is None else url.set(drivername=f"postgresql+{driver}")
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("level", LEVELS)
def test_tasks_at_once_do_not_fail_under_any_default(servers: Callable[[str], str], level: str, driver: str) -> None:
    address = strict(fresh(servers("postgresql")), level, driver)
    for_all = {model_id: mint(ledger_at(address), DEMAND, model_id) for model_id in MODELS}

    def run(name: str) -> Callable[[Callable[[], None]], None]:
        def attempt(together: Callable[[], None]) -> None:
            database, context = ledger_at(address), task(name)
            database.prepare()
            together()
            for number in range(5):
                _rotate(database, context, number)
                slots = {f"{name}{model_id}": row.link_id for model_id, row in for_all.items()}
                with database.write(context) as tx:
                    slot_claims.open_slots(tx, "site", {**slots, "shared": for_all[MODELS[number]].link_id})
                with database.write(context) as tx:
                    publications.publish(tx, "site", [Shown(slot, link_id, {}) for slot, link_id in slots.items()])
                with database.write(context) as tx:
                    flags.flag(tx, name, fingerprints=[f"sha256:{n:064x}" for n in (number, 1, 2)])

        return attempt

    at_once(*(run(f"run{index}") for index in range(4)))
    with ledger_at(address).read() as tx:
        assert len(publications.shown_at(tx, "site")) == 4 * len(MODELS)


def _rotate(database: Database, context: object, number: int) -> None:
    run = task(f"{context}{number}")
    with database.write(run) as tx:
        mint_run = mint_runs.begin(tx)
    with database.write(run) as tx:
        entries = mint_requests.prepare(tx, mint_run, DEMAND, MODELS, tx.now(), lambda _: True)
    assert all(isinstance(entry, Busy | PendingMint | Reuse) for entry in entries)
    with database.write(run) as tx:
        mint_runs.keep_alive(tx)
    with database.write(run) as tx:
        mint_runs.finish(tx)


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_is_decided_by_as_it_is_once_it_is_locked(servers: Callable[[str], str], level: str) -> None:
    """Under a snapshot the second owner would be refused, or would see the claim as it was before."""
    address = strict(fresh(servers("postgresql")), level)
    first, second = ledger_at(address), ledger_at(address)
    first.prepare()
    entered, taken = threading.Event(), []

    def take() -> None:
        with second.write(task("second")) as tx:
            tx.scalar(text("SELECT 1"))
            entered.set()
            taken.append(claims.take(tx, ["a"]))

    with first.write(task("first")) as tx:
        claims.take(tx, ["a"])
        thread = threading.Thread(target=take)
        thread.start()
        assert entered.wait(60)
    thread.join(60)
    assert taken == [set()]


def conflict(number: int = 1213) -> OperationalError:
    return OperationalError("some sql", {}, pymysql.err.OperationalError(number, "deadlock"))


def test_work_that_met_others_is_done_again_as_a_whole(ledger: Database, clock: FakeClock) -> None:
    attempts = 0

    def work(tx: WriteTransaction) -> str:
        nonlocal attempts
        attempts += 1
        insert_missing(tx, paces, [{"pace_key": f"attempt{attempts}", "next_at": clock.now()}])
        if attempts < 4:
            raise conflict()
        return "done"

    assert ledger.run(task(), work) == "done"
    with ledger.read() as tx:
        assert list(tx.scalars(select(paces.c.pace_key))) == ["attempt4"]
    assert 0 < clock.slept < 5


def test_work_that_meets_others_for_ever_ends_and_says_so(ledger: Database, clock: FakeClock) -> None:
    attempts = []

    def work(tx: WriteTransaction) -> None:
        attempts.append(1)
        raise conflict()

    with pytest.raises(LedgerConflictError, match="1213"):
        ledger.run(task(), work)
    assert len(attempts) == 12
    assert clock.slept < 15


def test_what_is_no_conflict_is_not_tried_again(ledger: Database) -> None:
    attempts = []

    def work(tx: WriteTransaction) -> None:
        attempts.append(1)
        raise OperationalError("some sql", {}, pymysql.err.OperationalError(2013, "lost"))

    with pytest.raises(Exception, match="went away"):
        ledger.run(task(), work)
    assert len(attempts) == 1


def test_a_real_deadlock_is_tried_again(servers: Callable[[str], str]) -> None:
    address = fresh(servers("postgresql"))
    with ledger_at(address).write() as tx:
        insert_missing(tx, paces, [{"pace_key": key, "next_at": tx.now()} for key in ("a", "b")])
    attempts: list[str] = []

    def run(first: str, second: str) -> Callable[[Callable[[], None]], None]:
        def attempt(together: Callable[[], None]) -> None:
            met = False

            def work(tx: WriteTransaction) -> None:
                nonlocal met
                attempts.append(first)
                _touch(tx, first)
                if not met:
                    met = True
                    together()
                _touch(tx, second)

            ledger_at(address).run(None, work)

        return attempt

    at_once(run("a", "b"), run("b", "a"))
    assert len(attempts) == 3


def _touch(tx: WriteTransaction, key: str) -> None:
    tx.execute(update(paces).where(paces.c.pace_key == key).values(next_at=tx.now()))


def test_flags_of_the_same_tokens_at_once_do_not_deadlock(ledger_address: str) -> None:
    leaked = [f"sha256:{number:064x}" for number in range(40)]
    ledger_at(ledger_address).prepare()

    def run(fingerprints: list[str]) -> Callable[[Callable[[], None]], None]:
        def attempt(together: Callable[[], None]) -> None:
            database = ledger_at(ledger_address)
            database.prepare()
            together()
            with database.write(task()) as tx:
                flags.flag(tx, "leaked", fingerprints=fingerprints)

        return attempt

    at_once(run(leaked), run(leaked[::-1]), run(leaked[20:] + leaked[:20]))


def test_writers_of_mysql_take_turns(ledger_address: str) -> None:
    """Locks on gaps between rows would make two that insert deadlock."""
    ledger_at(ledger_address).prepare()

    def run(name: str) -> Callable[[Callable[[], None]], None]:
        def attempt(together: Callable[[], None]) -> None:
            database = ledger_at(ledger_address)
            database.prepare()
            together()
            for number in range(8):
                begin_mint(database, DEMAND, f"M{name}{number:08d}", task(f"{name}{number}"))

        return attempt

    at_once(*(run(name) for name in "abc"))
    with ledger_at(ledger_address).read() as tx:
        assert len(list(audit.list_links(tx))) == 24


def test_a_transaction_needs_a_run_context_for_what_leaves_a_line(ledger: Database) -> None:
    with ledger.write() as tx, pytest.raises(RuntimeError, match="run context"):
        flags.flag(tx, "x", fingerprints=["sha256:1"])


def test_a_ledger_that_no_database_holds_is_refused() -> None:
    assert CLIENT
    with pytest.raises(LedgerError, match="PostgreSQL"):
        Database(type("Engine", (), {"dialect": type("Dialect", (), {"name": "mssql"})})(), FakeClock())  # type: ignore[arg-type]
