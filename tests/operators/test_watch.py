"""The watch emits gauges, and posts an event on ``pme://at-risk/<audience>`` before a slot is dark."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import AssetAlias
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
    """A task whose later runs see what earlier ones left in XCom."""

    def xcom_pull(self, task_ids: str, key: str, include_prior_dates: bool) -> Any:
        assert (task_ids, include_prior_dates) == (self.task_id, True)
        return json.loads(json.dumps(self.xcoms.get(key)))


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


def test_while_the_ledger_is_away_it_warns_once_by_what_the_last_run_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shown_since(timedelta(hours=14))
    task = RememberingTask("watch_pme_default")
    operator().execute(FakeTask("watch_pme_default").context())  # warned of before the ledger went away
    shown_since(timedelta(hours=13))
    operator().execute(task.context())
    (forecast,) = task.xcoms["forecasts"]
    assert not forecast["warned"]
    forecast["at_risk_at"] = "2026-01-01T00:00:00Z"

    def away(self: Database) -> None:
        raise LedgerUnavailableError("The ledger cannot be reached.")

    monkeypatch.setattr(Database, "read", away)
    result = operator().execute(task.context())
    assert (result["slots"], len(result["warnings"])) == (None, 1)
    ((uri, extra),) = task.posted_to(OUTLET)
    assert (uri, extra["slots"]) == ("pme://at-risk/intranet", 0)
    assert operator().execute(task.context())["warnings"] == []


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
