"""The watch emits gauges, and posts an event on ``pme://at-risk/<audience>`` before a slot is dark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import time_machine
from airflow.sdk import DAG, AssetAlias
from airflow.sdk.exceptions import AirflowException
from sqlalchemy import update

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import links
from pme_airflow.operators.pme import PMEWatchSlotsOperator
from pme_airflow.operators.watch import emit_target_gauges
from tests.conftest import MODELS
from tests.support.tasks import FakeTask, listener

MODEL = next(iter(MODELS))
OUTLET = AssetAlias("pme-at-risk-pme_default")


@pytest.fixture(autouse=True)
def placements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "placements.yaml"
    file.write_text(
        f'{{audience: intranet, valid_for: 24h, models: [{MODEL}], targets: [{{kind: object_storage, path: "file:///x"}}]}}'
    )
    monkeypatch.setenv("PME_PLACEMENTS", str(file))


def operator(**arguments: Any) -> PMEWatchSlotsOperator:
    return PMEWatchSlotsOperator(task_id="watch_pme_default", outlets=[OUTLET], **arguments)


def shown_since(length: timedelta) -> dict[str, Any]:
    """A link that a slot shows and that was minted this long ago."""
    hook = PMEHook()
    (item,) = hook.mint([MODEL], audience="intranet").items
    hook.record_publication(item, "intranet site", "page 1")
    made = datetime.now(timezone.utc) - length
    with hook.database.engine.begin() as connection:
        connection.execute(update(links).values(minted_at=made, valid_until=made + timedelta(hours=24)))
    return item


class RememberingTask(FakeTask):
    """The task in a run whose XComs later runs see, as Airflow's execution API returns them.

    :param earlier: the runs before it, oldest first.
    :param logical_date: that of its run; asset events start runs without one.
    :param nulls_first: whether the database sorts runs without a date before all others (PostgreSQL) or after them.
    """

    def __init__(
        self, earlier: Sequence[RememberingTask] = (), logical_date: datetime | None = None, nulls_first: bool = False
    ) -> None:
        super().__init__("watch_pme_default")
        self.runs = [*earlier, self]
        self.logical_date = logical_date
        self.nulls_first = nulls_first

    def context(self, **more: Any) -> dict[str, Any]:
        return super().context(**({"logical_date": self.logical_date} if self.logical_date else {}), **more)

    def xcom_pull(self, task_ids: str, key: str, include_prior_dates: bool, map_indexes: int | None = None) -> Any:
        assert (task_ids, include_prior_dates) == (self.task_id, True)
        newest_first = self.runs[::-1]
        newest_first.sort(key=self._order, reverse=True)
        values = [json.loads(json.dumps(run.xcoms[key])) for run in newest_first if key in run.xcoms]
        if map_indexes is not None:
            return values[0] if values else None
        return values[0] if len(values) == 1 else values or None

    def _order(self, run: RememberingTask) -> tuple[bool, datetime]:
        has_date = run.logical_date is not None
        return has_date is not self.nulls_first, run.logical_date or datetime.max.replace(tzinfo=timezone.utc)


def test_before_the_first_mint_there_is_nothing_to_watch(task: FakeTask, metrics: dict[str, float]) -> None:
    assert operator().execute(task.context()) == {"slots": 0, "at_risk": 0, "warnings": []}
    assert metrics == {}
    assert PMEHook().database.revision() is None


def test_a_slot_that_is_in_time_has_gauges_and_no_event(task: FakeTask, metrics: dict[str, float]) -> None:
    shown_since(timedelta(hours=13))
    assert operator().execute(task.context()) == {"slots": 1, "at_risk": 0, "warnings": []}
    assert task.posted_to(OUTLET) == []
    (name,) = [name for name in metrics if name.startswith("pme.slots_due.")]
    assert name.startswith("pme.slots_due.intranet.intranet_site_")
    assert metrics[name] == 1


def test_a_slot_at_risk_is_posted_and_alarmed_once_without_a_token(task: FakeTask, metrics: dict[str, float]) -> None:
    item = shown_since(timedelta(hours=14))
    listen = listener()
    result = operator(on_alarm=listen).execute(task.context())
    ((uri, extra),) = task.posted_to(OUTLET)
    assert uri == "pme://at-risk/intranet"
    assert (extra["slots"], extra["at_risk"][0]["link_id"]) == (1, item["link_id"])
    assert result["warnings"] == [extra]
    assert listen.heard == [[extra["message"]]]
    assert PMEHook().open(item) not in json.dumps(result)
    assert metrics["pme.alarms"] == 1
    later = FakeTask(run_id="later")
    assert operator().execute(later.context()) == {"slots": 1, "at_risk": 1, "warnings": []}
    assert later.posted_to(OUTLET) == []
    again = FakeTask()
    operator().execute(again.context())
    assert len(again.posted_to(OUTLET)) == 1, "another attempt of the run that died after it recorded its warning"


def away(self: Database) -> None:
    raise LedgerUnavailableError("The ledger cannot be reached.")


@pytest.mark.parametrize("nulls_first", [True, False], ids=["PostgreSQL", "SQLite"])
@pytest.mark.parametrize("dated", ["dated", "undated", "both"])
def test_while_the_ledger_is_away_it_warns_once_by_what_the_newest_run_read(
    monkeypatch: pytest.MonkeyPatch, nulls_first: bool, dated: str
) -> None:
    runs: list[RememberingTask] = []

    def run() -> dict[str, Any]:
        has_date = dated == "dated" or (dated == "both" and len(runs) % 2 == 0)
        date = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=15 * len(runs)) if has_date else None
        runs.append(RememberingTask(runs, date, nulls_first))
        return operator().execute(runs[-1].context())

    shown_since(timedelta(hours=12))
    with time_machine.travel(datetime.now(timezone.utc), tick=False) as clock:
        for _ in range(3):
            run()
            clock.shift(timedelta(minutes=15))
        monkeypatch.setattr(Database, "read", away)
        assert run()["warnings"] == []
        clock.shift(timedelta(hours=3))
        result = run()
        assert (result["slots"], len(result["warnings"])) == (None, 1)
        ((uri, extra),) = runs[-1].posted_to(OUTLET)
        assert (uri, extra["slots"]) == ("pme://at-risk/intranet", 0)
        for _ in range(3):
            clock.shift(timedelta(minutes=15))
            assert run()["warnings"] == []


def test_while_the_ledger_is_away_what_was_warned_of_before_is_not_warned_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown_since(timedelta(hours=14))
    before = RememberingTask()
    assert len(operator().execute(before.context())["warnings"]) == 1
    monkeypatch.setattr(Database, "read", away)
    assert operator().execute(RememberingTask([before]).context())["warnings"] == []


def test_the_plan_is_that_of_the_placements_next_to_the_dag_and_that_there_are_none_is_logged(
    task: FakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PME_PLACEMENTS")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "elsewhere"))
    shown_since(timedelta(hours=14))
    dag = DAG("d", schedule=None)
    dag.fileloc = str(tmp_path / "dag.py")
    watch = operator(dag=dag)
    logged: list[str] = []
    monkeypatch.setattr(watch.log, "warning", lambda message, *args: logged.append(message % args))
    file = tmp_path / "placements.yaml"
    file.write_text(file.read_text().replace("valid_for: 24h", "valid_for: 24h, renew_before: 6h"))
    assert watch.execute(task.context())["at_risk"] == 0
    assert not any("placements" in line for line in logged)
    file.unlink()
    watch.execute(FakeTask(run_id="later").context())
    assert any(f"there is neither {file} nor " in line for line in logged)


def test_a_ledger_of_another_version_fails_the_task(task: FakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    shown_since(timedelta(0))
    with PMEHook().database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE pme_version SET version_num = '9999'")
    with pytest.raises(AirflowException, match="newer than this package knows"):
        operator().execute(task.context())


def test_a_target_has_gauges_of_its_own_and_a_ledger_that_is_away_is_no_failure(
    metrics: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_since(timedelta(hours=14))
    emit_target_gauges(operator(), "pme_default", "intranet site")
    assert metrics == {}, "this Airflow sends its metrics nowhere, so that nothing is read for them"
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    emit_target_gauges(operator(), "pme_default", "elsewhere")
    assert metrics == {}
    emit_target_gauges(operator(), "pme_default", "intranet site")
    assert {name.split(".")[1] for name in metrics} >= {"slots_overdue", "seconds_to_expiry"}
    assert not any("links" in name or "read_at" in name for name in metrics)
    monkeypatch.setattr(Database, "read", lambda _: (_ for _ in ()).throw(LedgerUnavailableError("away")))
    emit_target_gauges(operator(), "pme_default", "intranet site")
