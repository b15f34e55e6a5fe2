"""The ledger trigger fires for what is due, outlives every state of the ledger, and changes nothing in it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from pme_airflow import airflow_compat
from pme_airflow.clock import SystemClock
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import DueWork
from pme_airflow.triggers import ledger as ledger_trigger
from pme_airflow.triggers.ledger import PMELedgerTrigger
from tests.support.databases import KINDS, fresh
from tests.support.ledgers import AUDIENCE, CLIENT, change, ledger_at, mint

NOW = SystemClock().now


def define(monkeypatch: pytest.MonkeyPatch, address: str, client_id: str = CLIENT) -> None:
    """Define the PME connection and its ledger's, as a deployment would."""
    monkeypatch.setenv("AIRFLOW_CONN_PME_LEDGER", address)
    connection = {"conn_type": "pme", "login": client_id, "password": "a secret",
                  "extra": {"ledger_conn_id": "pme_ledger"}}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", json.dumps(connection))


def run(trigger: PMELedgerTrigger, script: Callable[[Callable[[], Awaitable[Any]]], Awaitable[None]]) -> None:
    """Run a trigger while a script awaits its next payload."""

    async def main() -> None:
        events: AsyncIterator[TriggerEvent] = trigger.run()
        async with aclosing(events):  # type: ignore[type-var]

            async def payload() -> Any:
                return (await asyncio.wait_for(anext(events), 60)).payload

            await script(payload)

    asyncio.run(main())


async def fires_within(payload: Callable[[], Awaitable[Any]], seconds: float) -> bool:
    with suppress(TimeoutError, asyncio.TimeoutError):
        await asyncio.wait_for(payload(), seconds)
        return True
    return False


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, servers: Callable[[str], str]) -> str:
    return fresh(servers(request.param))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    define(monkeypatch, f"sqlite:///{tmp_path / 'ledger.db'}")
    return tmp_path / "ledger.db"


def sweep_trigger() -> PMELedgerTrigger:
    return PMELedgerTrigger("sweep", poll_interval=0.01)


def test_the_trigger_is_created_again_from_its_arguments() -> None:
    trigger = PMELedgerTrigger("renewal", "pme_b", "intranet", 43200.0, 7.0)
    name, arguments = trigger.serialize()
    assert name == "pme_airflow.triggers.ledger.PMELedgerTrigger"
    assert PMELedgerTrigger(**arguments).serialize() == (name, arguments)
    assert json.loads(json.dumps(arguments)) == arguments


@pytest.mark.parametrize(
    "arguments",
    [{"due": "purge"}, {"due": "renewal"}, {"due": "renewal", "audience": "a"}, {"due": "sweep", "audience": "a"}],
)
def test_arguments_that_do_not_fit_together_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"due:|audience"):
        PMELedgerTrigger(**arguments)


def test_a_flag_fires_a_sweep_once_on_every_database(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, address.replace("postgresql+psycopg2", "postgres").replace("mysql+pymysql", "mysql"))
    ledger = ledger_at(address)
    row = mint(ledger)

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        waiting = asyncio.ensure_future(payload())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await asyncio.to_thread(change, ledger, row.link_id, flagged_at=NOW())
        assert await waiting == {"kind": "sweep", "count": 1}
        assert not await fires_within(payload, 0.3)

    run(sweep_trigger(), script)


def test_runs_started_and_held_back_are_counted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()
    monkeypatch.setattr(airflow_compat.Stats, "incr", lambda name, *_: counted.update([name]), raising=False)
    ledger = ledger_at(f"sqlite:///{file}")
    link_id = mint(ledger).link_id
    change(ledger, link_id, flagged_at=NOW())

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        await payload()
        waiting = asyncio.ensure_future(payload())
        while not waiting.done() and not any(name.endswith("held_back") for name in counted):
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])

    run(sweep_trigger(), script)
    assert counted.pop("pme.sweep_wakes") == 1
    assert counted.pop("pme.sweep_wakes_held_back") >= 1
    assert not counted
    change(ledger, link_id, flagged_at=None, valid_until=NOW())
    run(PMELedgerTrigger("renewal", audience=AUDIENCE, renew_before=43200.0, poll_interval=0.01), script)
    assert counted.pop("pme.renewal_wakes") == 1
    assert counted.pop("pme.renewal_wakes_held_back") >= 1
    assert not counted


@pytest.mark.parametrize(("waited", "worked", "rest"), [(0.002, 0.002, 0.4), (1.0, 0.002, 10.0), (0.1, 0.1, 20.0)])
def test_a_look_is_followed_by_a_rest_of_200_times_its_work_and_10_times_its_wait(
    monkeypatch: pytest.MonkeyPatch, waited: float, worked: float, rest: float
) -> None:
    found = DueWork(1, NOW())
    at = {"monotonic": 5.0, "thread_time": 1.0}
    for name in at:
        monkeypatch.setattr(ledger_trigger.time, name, lambda name=name: at[name])

    def look(_: Database) -> DueWork:
        at.update(monotonic=5.0 + waited, thread_time=1.0 + worked)
        return found

    ledger: Any = None
    watch: Any = SimpleNamespace(look=look)
    assert ledger_trigger._measured(watch, ledger) == (found, pytest.approx(rest))


def test_a_dark_slot_fires_a_renewal_of_its_audience(file: Path) -> None:
    ledger = ledger_at(f"sqlite:///{file}")
    row = mint(ledger)
    change(ledger, row.link_id, valid_until=NOW())

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        assert await payload() == {"kind": "renewal", "count": 1}

    run(PMELedgerTrigger("renewal", audience=AUDIENCE, renew_before=43200.0, poll_interval=0.01), script)

    async def nothing(payload: Callable[[], Awaitable[Any]]) -> None:
        assert not await fires_within(payload, 0.3)

    run(PMELedgerTrigger("renewal", audience="another", renew_before=43200.0, poll_interval=0.01), nothing)


def test_a_ledger_that_is_not_there_is_waited_for_and_not_created(file: Path) -> None:
    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        waiting = asyncio.ensure_future(payload())
        await asyncio.sleep(0.2)
        assert not file.exists()
        ledger = ledger_at(f"sqlite:///{file}")
        row = await asyncio.to_thread(mint, ledger)
        await asyncio.to_thread(change, ledger, row.link_id, flagged_at=NOW())
        assert (await waiting)["kind"] == "sweep"

    run(sweep_trigger(), script)


def test_a_ledger_of_another_version_is_waited_for_and_not_migrated(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_at(f"sqlite:///{file}")
    change(ledger, mint(ledger).link_id, flagged_at=NOW())
    (known,) = _sql(file, "SELECT version_num FROM pme_version")
    _sql(file, "UPDATE pme_version SET version_num = '0001'")
    trigger = sweep_trigger()
    logged: list[str] = []
    monkeypatch.setattr(trigger.log, "warning", lambda message, *args: logged.append(message % args))

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        waiting = asyncio.ensure_future(payload())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert _sql(file, "SELECT version_num FROM pme_version") == ["0001"]
        _sql(file, f"UPDATE pme_version SET version_num = '{known}'")
        assert (await waiting)["count"] == 1

    run(trigger, script)
    assert len(logged) == 1
    assert "version 0001" in logged[0]


def test_a_connection_that_is_missing_or_wrong_ends_nothing_and_shows_no_secret(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger: Database = ledger_at(f"sqlite:///{file}")
    change(ledger, mint(ledger).link_id, flagged_at=NOW())
    good = {name: os.environ[name] for name in ("AIRFLOW_CONN_PME_DEFAULT", "AIRFLOW_CONN_PME_LEDGER")}
    trigger = sweep_trigger()
    logged: list[str] = []
    monkeypatch.setattr(trigger.log, "warning", lambda message, *args: logged.append(message % args))
    bad = ['{"conn_type": "pme", "password": 5', '{"conn_type": "http", "login": "x"}']

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_PME_DEFAULT")
        waiting = asyncio.ensure_future(payload())
        await asyncio.sleep(0.1)
        for definition in bad:
            monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", definition)
            await asyncio.sleep(0.1)
        monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", good["AIRFLOW_CONN_PME_DEFAULT"])
        monkeypatch.setenv("AIRFLOW_CONN_PME_LEDGER", "postgres://me:hidden-word@127.0.0.1:1/x?sslmode=disable")
        await asyncio.sleep(0.2)
        monkeypatch.setenv("AIRFLOW_CONN_PME_LEDGER", good["AIRFLOW_CONN_PME_LEDGER"])
        assert (await waiting)["count"] == 1

    run(trigger, script)
    assert len(logged) >= 2
    assert "hidden-word" not in "".join(logged)


def _sql(path: Path, statement: str) -> list[Any]:
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute(statement)]
