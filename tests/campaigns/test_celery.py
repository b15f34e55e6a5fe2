"""The nightly rotation on two Celery workers, one of which loses power in the middle of it."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from benchmarks.measure import api
from pme_airflow.placements import batches
from tests.support.farm import MISSING_REDIS, Farm, redis_program
from tests.support.home import ROOT
from tests.support.scale import scaled

MODELS = scaled(4000, 20_000)
#: What one worker's mint can have sent and not recorded: what is under way, and what stands ready behind it.
AT_ONCE, BATCH = 8, 10
ABANDONED = (AT_ONCE + AT_ONCE // 2 + 1) * BATCH * 2


@pytest.mark.skipif(redis_program() is None, reason=MISSING_REDIS)
@pytest.mark.timeout(scaled(400, 1500))
def test_a_worker_is_lost_and_the_other_does_the_rest(tmp_path: Path) -> None:
    """Every model is shown in the end, and nothing is minted twice but what the lost worker had under way."""
    models = [f"M{index:010d}" for index in range(MODELS)]
    placements = (
        f"audience: intranet\nvalid_for: 24h\nmodels: {json.dumps(models)}\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{tmp_path}/embeds'}}\n"
    )
    extra = {"max_concurrency": AT_ONCE, "batch_size": BATCH}
    home = tmp_path / "home"
    (home / "dags").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / "pme_nightly_rotation.py", home / "dags")
    only = {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags")}
    with api(0.2) as address, Farm(home, address, placements, extra, **only) as farm:
        farm.airflow.wait_until_parsed("pme_nightly_rotation")
        farm.start_worker("first")
        farm.start_worker("second")
        run = farm.airflow.trigger("pme_nightly_rotation")
        engine = create_engine(farm.ledger)

        def count(where: str) -> int:
            with engine.connect() as connection:
                return int(connection.scalar(text(f"SELECT count(*) FROM pme_links WHERE {where}")) or 0)

        _wait_for_table(engine)

        def tries() -> list[dict[str, Any]]:
            path = f"dags/pme_nightly_rotation/dagRuns/{run}/taskInstances"
            return list(farm.airflow.call("GET", path, limit=200)["task_instances"])

        def minting_on(worker: str) -> int | None:
            """Which part's mint runs on a worker now."""
            running = [ti for ti in tries() if ti["task_id"] == "mint_intranet" and ti["state"] == "running"]
            return next((ti["map_index"] for ti in running if ti["pid"] in farm.runs_on(worker)), None)

        def halfway(part: int) -> bool:
            mine = f"run like 'pme_nightly_rotation/{run}/mint_intranet/{part}'"
            return 0 < count(f"state = 'live' and {mine}") < 700 and count(f"state = 'minting' and {mine}") > 0

        while (part := minting_on("second")) is None or not halfway(part):
            time.sleep(0.05)
        farm.kill_worker("second")
        state = farm.airflow.wait_for("pme_nightly_rotation", run, scaled(300, 1200))
        tried_tasks = [(ti["task_id"], ti["map_index"], ti["state"], ti["try_number"]) for ti in tries()]
        assert state == "success", tried_tasks
        mints = {index: tried for task, index, _, tried in tried_tasks if task == "mint_intranet"}
        assert set(mints) == set(range(len(batches(models))))
        assert mints[part] > 1
        live = count("state = 'live' and retire_at is null")
        ours = f"SELECT state FROM pme_links WHERE run LIKE 'pme_nightly_rotation/{run}/%'"
        with engine.connect() as connection:
            states = Counter(row[0] for row in connection.execute(text(ours)))
    assert live == states["live"] == MODELS
    assert 0 < states["unaccounted"] == states.total() - MODELS <= ABANDONED, states
    shown = list((tmp_path / "embeds").glob("*/link.json"))
    assert len(shown) == MODELS
    index = (tmp_path / "embeds" / "index.html").read_text()
    assert all(model in index for model in models)
    print(f"{MODELS} models; their rows: {dict(states)}")


def _wait_for_table(engine: object) -> None:
    from sqlalchemy import inspect

    while not inspect(engine).has_table("pme_links"):  # type: ignore[arg-type]
        time.sleep(0.2)
