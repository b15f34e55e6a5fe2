"""An Airflow left alone with fresh links: how many runs it starts, and how much processor time the watch costs."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select, update

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import SECRET, environment
from pme_airflow.hooks.ledger_engines import LEDGER_FILE
from pme_airflow.ledger.tables import links
from tests.support.ledgers import ledger_at
from tests.support.live import DrivenAirflow
from tests.support.scale import scaled

IDLE_SECONDS = scaled(20, 3600)
PAUSED_SECONDS = scaled(0, 900)
MODELS = scaled(5, 200)
#: The links fall due one after the other within this time.
DUE_SECONDS = scaled(0, 600)
DAY = timedelta(days=1)
WATCHED = ("pme_revocation_sweep", "pme_link_keeper")
PLACEMENTS = """
- audience: intranet
  valid_for: 24h
  models: [{first}]
  targets:
    - {{kind: object_storage, path: "file://{published}/intranet"}}
- audience: brokers
  valid_for: 24h
  models: [{second}]
  targets:
    - {{kind: object_storage, path: "file://{published}/brokers"}}
"""


def runs_of(live: DrivenAirflow) -> dict[tuple[str, str], str]:
    """The type of each run of the watched DAGs, ``scheduled`` or ``asset_triggered``, by DAG and run id."""
    return {
        (dag_id, run["dag_run_id"]): run["run_type"]
        for dag_id in WATCHED
        for run in live.call("GET", f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
    }


def wait_until_idle(live: DrivenAirflow) -> None:
    """Wait until no run of any DAG is under way, twice in a row."""
    quiet = 0
    until = time.monotonic() + 300
    while quiet < 2:
        assert time.monotonic() < until, "Airflow did not come to rest"
        time.sleep(5)
        active = [live.call("GET", "dags/~/dagRuns", state=state)["total_entries"] for state in ("queued", "running")]
        quiet = quiet + 1 if not any(active) else 0


def wait_until_retired(home: Path) -> None:
    """In the full form: wait until no replaced link is left. Airflow starts the nightly DAG that is due by itself too."""
    database = ledger_at(f"sqlite:///{home / LEDGER_FILE}")
    waiting = select(func.count()).where(links.c.state == "live", links.c.retire_at.is_not(None))
    until = time.monotonic() + scaled(0, 1500)
    while time.monotonic() < until:
        time.sleep(10)
        with database.read() as tx:
            if not tx.scalar(waiting):
                return


def triggerer_seconds(live: DrivenAirflow) -> float:
    """The processor time of the triggerer and the processes below it."""
    total = 0.0
    for process in psutil.process_iter(["cmdline", "environ"]):
        home = (process.info["environ"] or {}).get("AIRFLOW_HOME")
        if home == str(live.home) and "triggerer" in " ".join(process.info["cmdline"] or []):
            total += sum(process.cpu_times()[:2])
    return total


def share_of_a_core(live: DrivenAirflow, seconds: float) -> float:
    """The share of a core that the triggerer takes for some time."""
    begun, before = time.monotonic(), triggerer_seconds(live)
    time.sleep(seconds)
    return (triggerer_seconds(live) - before) / (time.monotonic() - begun)


def make_due(home: Path, seconds: float) -> None:
    """Give the live links that are not replaced ends that bring them below the margin one after the other, within some time."""
    database = ledger_at(f"sqlite:///{home / LEDGER_FILE}")
    with database.write() as tx:
        wanted = links.c.state == "live", links.c.retire_at.is_(None)
        found = tx.scalars(select(links.c.seq).where(*wanted).order_by(links.c.seq)).all()
        for place, seq in enumerate(found):
            end = tx.now() + timedelta(hours=12) - timedelta(minutes=15, seconds=-seconds * place / len(found))
            tx.execute(update(links).where(links.c.seq == seq).values(valid_until=end, minted_at=end - DAY))


def renewed_in(live: DrivenAirflow, world: World) -> dict[str, int]:
    """Let all links fall due one after the other; how many runs of the keeper renew them."""
    minted, before = world.counts["minted"], runs_of(live)
    make_due(live.home, DUE_SECONDS)
    until = time.monotonic() + DUE_SECONDS + 1200
    while world.counts["minted"] < minted + MODELS and time.monotonic() < until:
        time.sleep(1)
    renewing = [run for run in runs_of(live) if run not in before and run[0] == "pme_link_keeper"]
    return {"renewed": world.counts["minted"] - minted, "keeper runs for them": len(renewing)}


@pytest.mark.timeout(IDLE_SECONDS + PAUSED_SECONDS + 2 * DUE_SECONDS + scaled(600, 3600))
def test_an_airflow_left_alone_starts_few_runs(tmp_path: Path) -> None:
    world = World(Settings(client_secret=SECRET, models=sample_models(MODELS)))
    first, second = list(world.models)[: MODELS // 2], list(world.models)[MODELS // 2 :]
    placements = PLACEMENTS.format(published=tmp_path / "out", first=", ".join(first), second=", ".join(second))
    report: dict[str, Any] = {}
    with serving(world) as address:
        env = environment(tmp_path / "home", address, placements)
        with DrivenAirflow(tmp_path / "home", env) as live:
            live.wait_until_parsed("pme_nightly_rotation", *WATCHED)
            assert live.wait_for("pme_nightly_rotation", live.trigger("pme_nightly_rotation"), 400) == "success"
            wait_until_retired(live.home)
            wait_until_idle(live)
            before = runs_of(live)
            report["triggerer's share of a core, watching"] = share_of_a_core(live, IDLE_SECONDS)
            idle = Counter(kind for run, kind in runs_of(live).items() if run not in before)
            report["runs of sweep and keeper while idle"] = dict(idle)
            print(report, flush=True)
            if PAUSED_SECONDS:
                for dag_id in WATCHED:
                    live.call("PATCH", f"dags/{dag_id}", {"is_paused": True})
                time.sleep(90)  # the triggers end with the next look of the scheduler
                report["the same, both DAGs paused"] = share_of_a_core(live, PAUSED_SECONDS)
                for dag_id in WATCHED:
                    live.call("PATCH", f"dags/{dag_id}", {"is_paused": False})
                wait_until_idle(live)
            if DUE_SECONDS:
                report |= renewed_in(live, world)
    print(report)
    # By time both DAGs run seldom: at the hours' quarters and halves. Nothing wakes them while nothing is due.
    assert set(idle) <= {"scheduled"}
    assert idle.total() <= scaled(2, 7)
    assert report.get("renewed", MODELS) == MODELS
    assert report.get("keeper runs for them", 0) <= 3
