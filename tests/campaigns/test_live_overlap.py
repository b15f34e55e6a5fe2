"""A nightly run, the keeper and a task that is cleared, all at once in a live Airflow."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.home import command, environment
from tests.conftest import MODELS, SECRET
from tests.support.cms import serving_cms
from tests.support.live import DrivenAirflow
from tests.support.scale import scaled

ROUNDS = scaled(2, 8)
HERE = list(MODELS)[:12]
PLACEMENTS = """
audience: intranet
models: [{models}]
targets:
  - {{kind: http, http_conn_id: cms, method: PATCH, endpoint: "spaces/{{model_id}}", json: {{url: "{{link}}"}}}}
"""


@pytest.mark.timeout(scaled(300, 1200))
def test_overlapping_runs_mint_once_and_never_go_back(address: str, world: World, tmp_path: Path) -> None:
    with serving_cms() as cms:
        env = environment(tmp_path / "home", address, PLACEMENTS.format(models=", ".join(HERE)))
        pme = {"conn_type": "pme", "login": world.settings.client_id, "password": SECRET, "host": address}
        pme["extra"] = json.dumps({"batch_size": 2, "max_concurrency": 1})
        port = int(cms.address.rpartition(":")[2])
        env |= {
            "AIRFLOW_CONN_PME_DEFAULT": json.dumps(pme),
            "AIRFLOW_CONN_CMS": json.dumps({"conn_type": "http", "host": "127.0.0.1", "port": port, "schema": "http"}),
        }
        with DrivenAirflow(tmp_path / "home", env) as live:
            live.wait_until_parsed("pme_nightly_rotation", "pme_link_keeper")
            live.wait_for("pme_nightly_rotation", live.trigger("pme_nightly_rotation"))
            world.set_faults({"slow": 0.7})
            for _ in range(ROUNDS):
                nightly = live.trigger("pme_nightly_rotation")
                keeper = live.trigger("pme_link_keeper")
                _clear_while_running(live, nightly)
                live.wait_for("pme_link_keeper", keeper)
                live.wait_for("pme_nightly_rotation", nightly)
            minted = Counter(issued.model_id for issued in world.tokens.values())
            recorded = _recorded(live)
        assert set(minted) == set(HERE)
        _each_run_minted_once(recorded)
        for model_id, count in minted.items():
            assert count <= sum(row["model_id"] == model_id for row in recorded), "a link is not in the ledger"
        order = {issued.token: number for number, issued in enumerate(world.tokens.values())}
        shown: dict[str, int] = {}
        for path, item in cms.history:
            number = order[item["url"].rpartition("+")[2]]
            assert number >= shown.get(path, -1), "a slot went back to an older link"
            shown[path] = number
        assert len(shown) == len(HERE)


def _clear_while_running(live: DrivenAirflow, run_id: str) -> None:
    """Clear the mint while it runs, as a person who is impatient does."""
    for _ in range(100):
        tasks = live.call("GET", f"dags/pme_nightly_rotation/dagRuns/{run_id}/taskInstances")["task_instances"]
        if any(task["task_id"] == "mint_intranet" and task["state"] == "running" for task in tasks):
            time.sleep(0.5)
            body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["mint_intranet"], "only_failed": False}
            live.call("POST", "dags/pme_nightly_rotation/clearTaskInstances", body)
            return
        time.sleep(0.1)


def _recorded(live: DrivenAirflow) -> list[dict[str, Any]]:
    """Every link of the ledger, in the order they were asked for."""
    done = command(live.env, "pme_airflow.cli", "ledger", "list", "--format", "json", "--limit", "1000")
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed[::-1]


def _each_run_minted_once(recorded: list[dict[str, Any]]) -> None:
    """A nightly run makes one link a model, and another only where a killed worker lost one; the keeper the first."""
    kept = [row for row in recorded if row["state"] != "unaccounted"]
    often = {
        work: n for work, n in Counter((row["model_id"], *row["run"].split("/")[:2]) for row in kept).items() if n > 1
    }
    assert not often, "a run minted more than once for a model"
    firsts = {row["model_id"]: row["link_id"] for row in reversed(recorded)}
    for row in kept:
        if row["run"].startswith("pme_link_keeper/"):
            assert row["link_id"] == firsts[row["model_id"]], "the keeper renewed a link that had hours left"
