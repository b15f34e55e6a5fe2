"""Alarms reach whoever listens, and Airflow's metrics; a scan and a trigger do as they say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.operators import alerts
from pme_airflow.operators.pme import (
    PMEFlagTokensOperator,
    PMEMintLinksOperator,
    PMERevocationSweepOperator,
    PMEScanOperator,
)
from pme_airflow.triggers.reports import PMEReportTrigger
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

MODEL = next(iter(MODELS))


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, context: Any) -> None:
        self.heard += context["alarms"]


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> None:
    pme_in_environment(monkeypatch, tmp_path / "home", login=world.settings.client_id, password=SECRET, host=address)


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What was told to Airflow's metrics."""
    told: dict[str, float] = {}

    def add(name: str, value: float = 1, **_: Any) -> None:
        told[name] = told.get(name, 0) + value

    for method in ("incr", "gauge", "timing"):
        monkeypatch.setattr(alerts.Stats, method, add)
    return told


def test_an_irrevocable_token_is_alarmed_once_and_listed(world: World) -> None:
    mint = PMEMintLinksOperator(task_id="mint", models=[MODEL])
    (item,) = mint.execute({})
    PMEFlagTokensOperator(task_id="flag", tokens=[item["fingerprint"]]).execute({})
    world.set_faults({"lying_false": 1.0})
    listener = Listener()
    sweep = PMERevocationSweepOperator(task_id="sweep", max_attempts=1, on_alarm=listener)
    with pytest.raises(AirflowFailException, match="Irrevocable"):
        sweep.execute({})
    assert sweep.execute({})["irrevocable"] == []
    (said,) = listener.heard
    assert item["link_id"] in said


def test_an_exposure_over_the_limit_is_alarmed_and_measured(metrics: dict[str, float]) -> None:
    (item,) = PMEMintLinksOperator(task_id="mint", models=[MODEL]).execute({})
    listener = Listener()

    def broken(_: Any) -> None:
        raise RuntimeError

    import time

    PMEFlagTokensOperator(task_id="flag", tokens=[item["fingerprint"]]).execute({})
    time.sleep(1.1)  # an exposure of over a second
    sweep = PMERevocationSweepOperator(task_id="sweep", max_exposure="1s", on_alarm=[broken, listener])
    result = sweep.execute({})
    assert "was exposed for" in listener.heard[0]
    assert result["revoked"][0]["exposure"] > 1
    assert metrics["pme.minted"] == metrics["pme.revoked"] == 1
    assert metrics["pme.exposure"] > 1000


def test_airflows_slack_notifier_takes_alarms() -> None:
    from airflow.providers.slack.notifications.slack import SlackNotifier

    sent: list[str] = []

    class BoundedList(SlackNotifier):
        def notify(self, context: Any) -> None:
            sent.append(self.text)

    told = BoundedList(text="{{ alarms | join(' ') }}", channel="#alarms")
    alerts.raise_alarms(PMERevocationSweepOperator(task_id="sweep"), {}, ["one", "two"], told)
    assert sent == ["one two"]


def test_the_scan_operator_flags_what_it_finds(tmp_path: Path, world: World) -> None:
    PMEMintLinksOperator(task_id="mint", models=[MODEL]).execute({})
    (issued,) = world.alive()
    (tmp_path / "note.txt").write_text(f"Bearer%20{issued.token}")
    scan = PMEScanOperator(task_id="scan", paths=[str(tmp_path / "note.txt")], flag=True, fail_on_find=True)
    with pytest.raises(AirflowFailException, match="1 live links"):
        scan.execute({})
    assert len(PMERevocationSweepOperator(task_id="sweep").execute({})["revoked"]) == 1
    assert scan.execute({})["findings"] == []


def test_the_scan_operator_names_what_it_could_not_read(tmp_path: Path) -> None:
    PMEMintLinksOperator(task_id="mint", models=[MODEL]).execute({})
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(AirflowException, match=r"x\.zip"):
        PMEScanOperator(task_id="scan", paths=str(tmp_path)).execute({})
    with pytest.raises(AirflowFailException, match="paths"):
        PMEScanOperator(task_id="scan", paths=[]).execute({})


def test_the_trigger_reads_each_report_once_and_tells_no_token(tmp_path: Path) -> None:
    token = "k3f9x0a8q7w6e5r4t3y2u1i0p"
    (tmp_path / "a.json").write_text(json.dumps([{"RuleID": "x", "Secret": token}]))
    (tmp_path / "b.json").write_text('{"what": "is this"}')
    trigger = PMEReportTrigger(f"file://{tmp_path}", poll_interval=0.01)
    name, arguments = trigger.serialize()
    assert name == "pme_airflow.triggers.reports.PMEReportTrigger"
    assert PMEReportTrigger(**arguments).path == trigger.path

    async def two() -> list[Any]:
        events = trigger.run()
        first = [(await anext(events)).payload, (await anext(events)).payload]
        await asyncio.wait_for(_drained(tmp_path, events), 5)
        return first

    good, bad = asyncio.run(two())
    assert good["report"]["total"] == 1
    assert "no known report" in bad["report"]["problem"]
    assert token not in json.dumps([good, bad])
    assert (tmp_path / "handled" / "a.json").exists()
    assert (tmp_path / "unreadable" / "b.json").exists()


async def _drained(folder: Path, events: Any) -> None:
    waiting = asyncio.ensure_future(anext(events))
    while any(path.is_file() for path in folder.iterdir()):
        await asyncio.sleep(0.01)
    waiting.cancel()
