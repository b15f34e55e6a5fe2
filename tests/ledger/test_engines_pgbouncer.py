"""Behind PgBouncer in transaction mode, where each transaction may get another session of the server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.mariadb import program
from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger import audit, flags, mint_runs, revocations, sweep_queue
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.rate_limit import SharedRateLimit
from tests.support.databases import fresh
from tests.support.ledgers import CLIENT, DEMAND, ledger_at, mint, task
from tests.support.pooler import MISSING_PGBOUNCER, pooled, serving_pgbouncer

pytestmark = pytest.mark.skipif(program("pgbouncer") is None, reason=MISSING_PGBOUNCER)
ROUNDS = 6


@pytest.fixture(scope="module")
def pooler(servers: Callable[[str], str]) -> Iterator[str]:
    with serving_pgbouncer(servers("postgresql")) as address:
        yield address


@pytest.fixture(params=["psycopg", "psycopg2"])
def address(request: pytest.FixtureRequest, servers: Callable[[str], str], pooler: str) -> str:
    return pooled(fresh(servers("postgresql")), pooler, request.param)


def work(address: str, name: str) -> int:
    """What tasks do, over one engine with a pool, as a hook has it; how many links were revoked."""
    database = Database(tuned(create_engine(address)), SystemClock())
    limit = SharedRateLimit(1000, database, SystemClock(), CLIENT, "https://host")

    def one(number: int) -> int:
        run = task(f"{name}/{number}")
        with database.write(run) as tx:
            mint_runs.begin(tx)
        row = mint(database, DEMAND, f"Model{number:06d}", run)
        limit.reserve(1)
        database.run(run, mint_runs.keep_alive)
        database.run(run, lambda tx: flags.flag(tx, "leaked", link_ids=[row.link_id]))
        taken = database.run(run, lambda tx: sweep_queue.take_due(tx, CLIENT, 5))
        gone = database.run(run, lambda tx: revocations.revoked(tx, [due.row for due in taken], {}))
        database.run(run, mint_runs.finish)
        with database.read() as tx:
            assert list(audit.list_links(tx, limit=5))
        return len(gone)

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(one, range(ROUNDS)))


def process(address: str, name: str, results: multiprocessing.Queue[int]) -> None:
    results.put(work(address, name))


def test_tasks_in_several_processes_and_threads_work_as_without_it(address: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    tasks = [context.Process(target=process, args=(address, f"task{index}", results)) for index in range(3)]
    for started in tasks:
        started.start()
    for started in tasks:
        started.join()
    assert [started.exitcode for started in tasks] == [0, 0, 0]
    with ledger_at(address).read() as tx:
        rows = list(audit.list_links(tx))
    assert len(rows) == 3 * ROUNDS
    assert sum(results.get() for _ in tasks) == sum(row.state.value == "revoked" for row in rows)


def test_one_engine_runs_the_same_statement_often_in_changing_sessions(address: str) -> None:
    """psycopg prepares what it has run five times, under a name that another client's session has taken already."""
    engines = [tuned(create_engine(address)) for _ in range(4)]
    for _ in range(10):
        for engine in engines:
            with engine.begin() as connection:
                assert connection.scalar(text("SELECT 1 + :one"), {"one": 1}) == 2


def test_this_pooler_breaks_an_engine_that_prepares(servers: Callable[[str], str], pooler: str) -> None:
    """Else the tests above could not fail."""
    address = pooled(fresh(servers("postgresql")), pooler)
    connections = [create_engine(address, poolclass=NullPool).connect() for _ in range(4)]

    def often() -> None:
        for connection in connections * 10:
            with connection.begin():
                connection.scalar(text("SELECT 1 + :one"), {"one": 1})

    with pytest.raises(DBAPIError):
        often()


def test_a_pooler_of_single_statements_is_named(servers: Callable[[str], str]) -> None:
    with serving_pgbouncer(servers("postgresql"), "statement") as pooler:
        database = ledger_at(pooled(fresh(servers("postgresql")), pooler))
        with pytest.raises(LedgerUnavailableError, match="pool_mode"):
            mint(database)
