"""A live Airflow that the ledger wakes: how soon flags and retirements are answered, and what a refusing API costs."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import SECRET, command, environment
from pme_airflow.hooks.ledger_engines import LEDGER_FILE
from pme_airflow.ledger.tables import links
from tests.campaigns.test_live_idle import WATCHED, make_due, wait_until_idle
from tests.support.ledgers import ledger_at
from tests.support.live import DrivenAirflow
from tests.support.scale import FULL

pytestmark = pytest.mark.skipif(not FULL, reason="lasts for an hour and a half: make due")

MODELS = 200
FLAGS = 30
REFUSED_MINUTES = float(os.environ.get("PME_MINUTES", "60"))
PLACEMENTS = """
audience: intranet
valid_for: 24h
models: [{models}]
targets:
  - {{kind: object_storage, path: "file://{published}"}}
"""


@contextmanager
def published(folder: Path, world: World) -> Iterator[DrivenAirflow]:
    """An Airflow that has published every model twice, so that the first links are about to retire."""
    placements = PLACEMENTS.format(published=folder / "out", models=", ".join(world.models))
    with serving(world) as address:
        env = environment(folder / "home", address, placements)
        with DrivenAirflow(folder / "home", env) as live:
            live.wait_until_parsed("pme_nightly_rotation", *WATCHED)
            wait_until_idle(live)
            for _ in range(2):
                assert live.wait_for("pme_nightly_rotation", live.trigger("pme_nightly_rotation"), 400) == "success"
            yield live


def rows(live: DrivenAirflow, *where: Any) -> list[Any]:
    """Links of the ledger, oldest first."""
    with ledger_at(f"sqlite:///{live.home / LEDGER_FILE}").read() as tx:
        return list(tx.execute(select(links).where(*where).order_by(links.c.seq)).all())


def started(live: DrivenAirflow, since: datetime) -> dict[str, dict[str, int]]:
    """How many runs of each watched DAG were created since a time, by their type."""
    found: dict[str, dict[str, int]] = {}
    for dag_id in WATCHED:
        runs = live.call("GET", f"dags/{dag_id}/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
        later = [run for run in runs if datetime.fromisoformat(run["queued_at"].replace("Z", "+00:00")) >= since]
        found[dag_id] = dict(Counter(run["run_type"] for run in later))
    return found


def flag_one(live: DrivenAirflow, chance: random.Random) -> float:
    """Flag a link that is shown by the command, wait until it is revoked; return the seconds from one to the other."""
    shown = rows(live, links.c.state == "live", links.c.retire_at.is_(None), links.c.flagged_at.is_(None))
    link_id = chance.choice(shown).link_id
    done = command(live.env, "pme_airflow.cli", "ledger", "flag", "--link-id", link_id, "--reason", "a test")
    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 120
    while time.monotonic() < until:
        row = rows(live, links.c.link_id == link_id)[0]
        if row.state == "revoked":
            return float((row.revoked_at - row.flagged_at).total_seconds())
        time.sleep(0.2)
    raise AssertionError(f"{link_id} is not revoked")


def flag_some(live: DrivenAirflow, chance: random.Random, count: int, until: datetime | None = None) -> list[float]:
    """Flag links one after the other, none after a time; return the seconds that each lived on."""
    exposures: list[float] = []
    while len(exposures) < count and (until is None or datetime.now(timezone.utc) < until):
        exposures.append(flag_one(live, chance))
        print(f"flag to dead: {exposures[-1]:.1f} s", flush=True)
        time.sleep(chance.uniform(2, 12))
    return exposures


def late(row: Any) -> float:
    return float((row.revoked_at - row.retire_at).total_seconds())


@pytest.mark.timeout(3600)
def test_a_flag_is_answered_in_seconds_and_a_nights_links_retire_on_time_in_few_runs(tmp_path: Path) -> None:
    world = World(Settings(client_secret=SECRET, models=sample_models(MODELS)))
    chance = random.Random(17)
    with published(tmp_path, world) as live:
        retiring = rows(live, links.c.retire_at.is_not(None))
        first, last = min(row.retire_at for row in retiring), max(row.retire_at for row in retiring)
        exposures = flag_some(live, chance, FLAGS, first - timedelta(seconds=60))
        while datetime.now(timezone.utc) < last + timedelta(seconds=60):
            time.sleep(5)
        ended = rows(live, links.c.link_id.in_([row.link_id for row in retiring]), links.c.state == "revoked")
        runs = started(live, first)["pme_revocation_sweep"]
        exposures += flag_some(live, chance, FLAGS - len(exposures))
    delays = sorted(late(row) for row in ended if row.flagged_at is None)
    exposures.sort()
    report = {
        "flag to dead, median": statistics.median(exposures),
        "flag to dead, 95th percentile": statistics.quantiles(exposures, n=20)[-1],
        "retirements": len(retiring),
        "revoked": len(ended),
        "within": (last - first).total_seconds(),
        "latest": delays[-1],
        "median": statistics.median(delays),
        "runs of the sweep": runs,
    }
    print(report, flush=True)
    assert report["flag to dead, median"] <= 5
    assert report["flag to dead, 95th percentile"] <= 9
    assert len(ended) == len(retiring)
    assert report["latest"] <= 10
    assert runs.get("asset_triggered", 0) <= 3


@pytest.mark.timeout(REFUSED_MINUTES * 60 + 1800)
def test_an_api_that_refuses_starts_few_runs(tmp_path: Path) -> None:
    world = World(Settings(client_secret=SECRET, models=sample_models(MODELS)))
    with published(tmp_path, world) as live:
        wait_until_idle(live)
        world.licensed = False
        begun = datetime.now(timezone.utc)
        make_due(live.home, 600)
        for minute in range(1, round(REFUSED_MINUTES) + 1):
            time.sleep(60)
            print(f"{minute} min: {started(live, begun)}", flush=True)
        runs = started(live, begun)
    assert all(sum(kinds.values()) <= 10 for kinds in runs.values())
