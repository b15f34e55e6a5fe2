"""Every operator whose promise was not kept fails its task, and says what was not done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from pme_airflow.hooks.connection import ConnectionSettings
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.operators import pme
from pme_airflow.operators.pme import (
    PMEFlagTokensOperator,
    PMEListModelsOperator,
    PMEMintLinksOperator,
    PMERetireTargetsOperator,
    PMERevocationSweepOperator,
    PMEScanOperator,
)
from pme_airflow.targets import SlotError, Target
from pme_airflow.transfers.pme_to_custom import PMEToCustomTargetOperator
from pme_airflow.transfers.pme_to_http import PMEToHttpOperator
from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator
from pme_airflow.transfers.pme_to_slack import PMEToSlackOperator
from pme_airflow.transfers.pme_to_wordpress import PMEToWordPressOperator
from tests.conftest import MODELS
from tests.support.tasks import FakeTask

ONE, TWO = list(MODELS)[:2]
Items = list[dict[str, Any]]
Make = Callable[[Items, Path], BaseOperator]


class ClosedTarget(Target):
    """Refuses every link."""

    name = "closed"

    def put(self, slot: str, link: Any, previous: Any) -> Any:
        raise SlotError("is closed")

    def read_back(self, slot: str, link: Any, details: Any) -> None:
        raise AssertionError("nothing was put")


#: Each operator that needs the API, with what it must not pass over in silence.
OVER_THE_API: dict[str, tuple[Make, str]] = {
    "mint": (lambda items, _: PMEMintLinksOperator(task_id="t", models=[ONE], audience="new"), ONE),
    "list": (lambda items, _: PMEListModelsOperator(task_id="t", models={"query": "*"}), "was not reached"),
    "flag": (lambda items, _: PMEFlagTokensOperator(task_id="t", models=[TWO], sweep=True), "NOT revoked"),
    "sweep": (lambda items, _: PMERevocationSweepOperator(task_id="t"), "NOT revoked"),
}
#: Each operator, for a ledger that is away.
OVER_THE_LEDGER: dict[str, Make] = {
    **{name: make for name, (make, _) in OVER_THE_API.items()},
    "scan": lambda items, there: PMEScanOperator(task_id="t", paths=[str(there)], flag=True),
    "retire": lambda items, _: PMERetireTargetsOperator(
        task_id="t", outcomes=["x"], audience="intranet", publishers=["dag"]
    ),
    "object storage": lambda items, there: PMEToObjectStorageOperator(
        task_id="t", links=items, path=f"file://{there}/out"
    ),
}
#: Each transfer, for a target that is away.
TRANSFERS: dict[str, Make] = {
    "custom": lambda items, _: PMEToCustomTargetOperator(
        task_id="t", links=items, target_class=f"{__name__}.ClosedTarget"
    ),
    "http": lambda items, _: PMEToHttpOperator(
        task_id="t", links=items, http_conn_id="away", endpoint="x/{model_id}", json={"u": "{link}"}
    ),
    "object storage": lambda items, there: PMEToObjectStorageOperator(
        task_id="t", links=items, path=f"file://{there}/token.txt/under-a-file"
    ),
    "slack": lambda items, _: PMEToSlackOperator(task_id="t", links=items, channel="C1", slack_conn_id="slack_away"),
    "wordpress": lambda items, _: PMEToWordPressOperator(
        task_id="t", links=items, wordpress_conn_id="away", pages={ONE: 1, TWO: 2}
    ),
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to the API are not repeated for longer than half a second."""
    made = ConnectionSettings.client_settings.fget  # type: ignore[attr-defined]
    short = property(lambda settings: replace(made(settings), deadline=0.5, timeout=0.5))
    monkeypatch.setattr(ConnectionSettings, "client_settings", short)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "token.txt").write_text("nothing")
    return tmp_path / "there"


@pytest.fixture
def items() -> Items:
    """Two links, one of them flagged."""
    items: Items = PMEHook().mint([ONE, TWO], audience="intranet").items
    PMEHook().flag(models=[ONE])
    return items


def test_every_operator_is_in_one_of_the_tables() -> None:
    operators = {getattr(pme, name) for name in pme.__all__ if name.endswith("Operator")}
    operators -= {pme.PMEWatchSlotsOperator}  # it goes on by what its last run read, see test_watch.py
    made = [make([], Path("/there")) for make in (*OVER_THE_LEDGER.values(), *TRANSFERS.values())]
    assert operators <= {type(operator) for operator in made}
    assert len({type(operator) for operator in made} - operators) == 5


@pytest.mark.parametrize("name", sorted(OVER_THE_API))
def test_an_api_that_is_away_fails_the_task(
    task: FakeTask, items: Items, there: Path, connect: Callable[..., None], name: str
) -> None:
    make, named = OVER_THE_API[name]
    connect(host="http://127.0.0.1:1")
    with pytest.raises(AirflowException, match=named):
        make(items, there).execute(task.context())


@pytest.mark.parametrize("name", sorted(OVER_THE_LEDGER))
def test_a_ledger_that_is_away_fails_the_task(
    task: FakeTask, items: Items, there: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DB", json.dumps({"conn_type": "postgres", "host": "127.0.0.1", "port": 1}))
    connect(extra={"ledger_conn_id": "db"})
    with pytest.raises(AirflowException, match="cannot be reached or went away"):
        OVER_THE_LEDGER[name](items, there).execute(task.context())


@pytest.mark.parametrize("name", sorted(TRANSFERS))
def test_a_target_that_is_away_fails_the_task_and_names_each_slot(
    task: FakeTask, items: Items, there: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    away = {"host": "http://127.0.0.1:1", "login": "u", "password": "p"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps({"conn_type": "http", **away}))
    slack = {"conn_type": "slack", "password": "xoxb-0", "extra": {"base_url": "http://127.0.0.1:1/api/"}}
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_AWAY", json.dumps(slack))
    with pytest.raises(AirflowException) as raised:
        TRANSFERS[name](items, there).execute(task.context())
    assert ONE in str(raised.value)
    assert TWO in str(raised.value)
    assert "auth=" not in str(raised.value)


def test_a_scan_that_finds_what_it_cannot_flag_fails_and_names_what_it_found(
    task: FakeTask, items: Items, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pme_airflow.errors import LedgerUnavailableError
    from pme_airflow.lifecycle import scan

    (there / "token.txt").write_text(PMEHook().open(items[1]))

    def away(*_: Any, **__: Any) -> None:
        raise LedgerUnavailableError("The ledger went away.")

    monkeypatch.setattr(scan, "respond", away)
    with pytest.raises(AirflowException, match="The ledger went away"):
        PMEScanOperator(task_id="t", paths=[str(there)], flag=True).execute(task.context())
    assert task.xcoms["return_value"]["findings"][0]["model_id"] == TWO
