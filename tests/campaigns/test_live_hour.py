"""Links of minutes in a live Airflow, a fault a minute, and a reader who looks at every slot once a second."""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.home import SECRET as PLAYGROUND_SECRET
from pme_airflow.dev.playground.home import environment
from pme_airflow.hooks.ledger_engines import LEDGER_FILE
from tests.conftest import MODELS, SECRET
from tests.support.cms import Cms, serving_cms
from tests.support.live import DrivenAirflow
from tests.support.scale import scaled

SECONDS = scaled(200, 3600)
ROTATION_SECONDS = scaled(100, 1200)
FAULT_EVERY = 60
#: ``kept`` runs on, ``killed`` is killed once a minute and started again, ``none`` is not there.
TRIGGERER = os.environ.get("PME_TRIGGERER", "kept")
_TASK = re.compile(r"airflow worker -- [0-9a-f]{8}-")
MODELS_HERE = list(MODELS)[:10]
PLACEMENTS = """
audience: intranet
valid_for: 10m
keep_every: 1m
models: [{models}]
targets:
  - {{kind: object_storage, path: "file://{published}"}}
  - {{kind: http, http_conn_id: cms, method: PATCH, endpoint: "spaces/{{model_id}}", json: {{url: "{{link}}"}}}}
"""


class Reader(threading.Thread):
    """Looks at every slot once a second and notes what is dark."""

    def __init__(self, world: World, cms: Cms, published: Path) -> None:
        super().__init__(daemon=True)
        self.world, self.cms, self.published = world, cms, published
        self.checks = 0
        self.dark: list[tuple[float, str]] = []
        self.ended = threading.Event()
        self.begun = time.monotonic()

    def shown(self) -> dict[str, str]:
        slots: dict[str, str] = {}
        for model_id in MODELS_HERE:
            page = self.published / model_id / "link.json"
            slots[f"file {model_id}"] = json.loads(page.read_text())["access_token"] if page.exists() else ""
            item = self.cms.items.get(f"/spaces/{model_id}", {})
            slots[f"cms {model_id}"] = str(item.get("url", "")).rpartition("+")[2]
        return slots

    def all_live(self) -> bool:
        alive = {issued.token for issued in self.world.alive()}
        return all(token in alive for token in self.shown().values())

    def run(self) -> None:
        while not self.ended.wait(1.0):
            alive = {issued.token for issued in self.world.alive()}
            slots = self.shown()
            self.checks += len(slots)
            at = time.monotonic() - self.begun
            self.dark += [(at, slot) for slot, token in slots.items() if token not in alive]


class Faults:
    """One kind of trouble after another."""

    def __init__(self, world: World, cms: Cms, live: DrivenAirflow) -> None:
        self.world, self.cms, self.live = world, cms, live
        self.kinds: list[Callable[[], Any]] = [
            self.api_down, self.answers_lost, self.kill_a_task, self.target_down, self.ledger_held, self.throttled,
            self.kill_the_scheduler,
        ]  # fmt: skip
        self.done: list[str] = []
        self.killed = self.triggerers_killed = 0

    def strike(self, kind: Callable[[], Any]) -> None:
        self.done.append(kind.__name__)
        kind()

    @contextmanager
    def rates(self, **rates: float) -> Iterator[None]:
        self.world.set_faults(rates)
        yield
        self.world.set_faults({})

    def api_down(self) -> None:
        self.world.down = True
        time.sleep(40)
        self.world.down = False

    def answers_lost(self) -> None:
        with self.rates(lost_after=0.3, bad_gateway=0.2, made_but_null=0.05, cut_body=0.1):
            time.sleep(45)

    def throttled(self) -> None:
        with self.rates(throttled=0.9):
            time.sleep(40)

    def target_down(self) -> None:
        self.cms.down = True
        time.sleep(45)
        self.cms.down = False

    def ledger_held(self) -> None:
        with sqlite3.connect(self.live.home / LEDGER_FILE, isolation_level=None) as database:
            database.execute("BEGIN IMMEDIATE")
            time.sleep(25)
            database.execute("ROLLBACK")

    def kill_a_task(self) -> None:
        """Kill the first process that runs a task's code."""
        until = time.monotonic() + 50
        while time.monotonic() < until:
            for process in self.below_the_scheduler():
                with suppress(psutil.Error):
                    if _TASK.search(" ".join(process.cmdline())):
                        time.sleep(1.0)
                        process.kill()
                        self.killed += 1
                        return
            time.sleep(0.05)

    def kill_the_scheduler(self) -> None:
        for process in [*self.below_the_scheduler(), *self.schedulers()]:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(10)
        self.live.start_part("scheduler")

    def kill_the_triggerer(self) -> None:
        self.live.kill_part("triggerer")
        self.live.start_part("triggerer")
        self.triggerers_killed += 1

    def schedulers(self) -> list[psutil.Process]:
        """This Airflow's processes, found by their environment, since their titles are overwritten."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            home = (process.info["environ"] or {}).get("AIRFLOW_HOME")
            if home == str(self.live.home) and "scheduler" in (process.info["cmdline"] or []):
                found.append(process)
        return found

    def below_the_scheduler(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return [child for parent in self.schedulers() for child in parent.children(recursive=True)]
        return []


@pytest.mark.timeout(SECONDS + 600)
def test_every_slot_is_live_at_every_second(address: str, world: World, tmp_path: Path) -> None:
    published = tmp_path / "published"
    home = tmp_path / "home"
    with serving_cms() as cms:
        text = PLACEMENTS.format(models=", ".join(MODELS_HERE), published=published)
        env = environment(home, address, text)
        pme = json.loads(env["AIRFLOW_CONN_PME_DEFAULT"]) | {"login": world.settings.client_id, "password": SECRET}
        assert PLAYGROUND_SECRET not in json.dumps(pme)
        port = int(cms.address.rpartition(":")[2])
        cms_connection = {"conn_type": "http", "host": "127.0.0.1", "port": port, "schema": "http"}
        env |= {
            "AIRFLOW_CONN_PME_DEFAULT": json.dumps(pme),
            "AIRFLOW_CONN_CMS": json.dumps(cms_connection),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        }
        with DrivenAirflow(home, env) as live:
            live.wait_until_parsed("pme_nightly_rotation", "pme_link_keeper", "pme_revocation_sweep")
            if TRIGGERER == "none":
                live.kill_part("triggerer")
            live.trigger("pme_nightly_rotation")
            reader = Reader(world, cms, published)
            until = time.monotonic() + 120
            while not reader.all_live() and time.monotonic() < until:
                time.sleep(1)
            assert reader.all_live()
            reader.start()
            faults = Faults(world, cms, live)
            _run(live, faults, reader)
            reader.ended.set()
            reader.join()
    report = {
        "checks": reader.checks,
        "dark": len(reader.dark),
        "faults": faults.done,
        "killed": faults.killed,
        "triggerer": TRIGGERER,
        "triggerers killed": faults.triggerers_killed,
        "counts": world.counts,
    }
    print(json.dumps(report))
    assert reader.checks > SECONDS * 0.8 * 2 * len(MODELS_HERE)
    assert reader.dark == []


def _run(live: DrivenAirflow, faults: Faults, reader: Reader) -> None:
    begun = time.monotonic()
    rotation, fault, struck, minute = begun + ROTATION_SECONDS, begun + 10, 0, begun + FAULT_EVERY
    workers: list[threading.Thread] = []
    kinds = list(faults.kinds)
    random.Random(7).shuffle(kinds)
    while time.monotonic() - begun < SECONDS:
        if time.monotonic() >= rotation:
            rotation += ROTATION_SECONDS
            live.trigger("pme_nightly_rotation")
        if time.monotonic() >= fault:
            fault += FAULT_EVERY
            workers.append(threading.Thread(target=faults.strike, args=(kinds[struck % len(kinds)],), daemon=True))
            workers[-1].start()
            struck += 1
        if time.monotonic() >= minute:
            print(
                f"{minute - begun:.0f} s: {reader.checks} checks, {len(reader.dark)} dark, {struck} faults", flush=True
            )
            minute += FAULT_EVERY
            if TRIGGERER == "killed":
                faults.kill_the_triggerer()
        time.sleep(0.5)
    for worker in workers:
        worker.join(120)
