"""The nightly rotation on two Celery workers, one of which loses power in the middle of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from benchmarks.measure import api
from tests.support.farm import MISSING_REDIS, Farm, redis_program
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
    home.mkdir()
    with api(0.2) as address, Farm(home, address, placements, extra) as farm:
        farm.airflow.wait_until_parsed("pme_nightly_rotation")
        farm.start_worker("first")
        farm.start_worker("second")
        run = farm.airflow.trigger("pme_nightly_rotation")
        engine = create_engine(farm.ledger)

        def count(where: str) -> int:
            with engine.connect() as connection:
                return int(connection.scalar(text(f"SELECT count(*) FROM pme_links WHERE {where}")) or 0)

        _wait_for_table(engine)
        while count("state = 'live'") < MODELS // 10:
            time.sleep(0.1)
        killed = farm.kill_worker("second")
        print(killed, [(ti["task_id"], ti["map_index"], ti["state"], ti["hostname"], ti["pid"]) for ti in farm.airflow.call("GET", f"dags/pme_nightly_rotation/dagRuns/{run}/taskInstances", limit=200)["task_instances"] if ti["state"]=="running"])
        state = farm.airflow.wait_for("pme_nightly_rotation", run, scaled(300, 1200))
        tries = farm.airflow.call("GET", f"dags/pme_nightly_rotation/dagRuns/{run}/taskInstances", limit=200)
        print([(ti["task_id"], ti["map_index"], ti["state"], ti["try_number"],ti["duration"]) for ti in tries["task_instances"]])
        assert state == "success", [(ti["task_id"], ti["map_index"], ti["state"]) for ti in tries["task_instances"]]
        assert {ti["map_index"] for ti in tries["task_instances"] if ti["task_id"] == "mint_intranet"} == set(
            range(4 if MODELS == 4000 else 16)
        )
        assert any(ti["try_number"] > 1 for ti in tries["task_instances"])
        live = count("state = 'live' and retire_at is null")
        rows = count("true")
        with engine.connect() as connection:
            states = Counter(row[0] for row in connection.execute(text("SELECT state FROM pme_links")))
    assert live == MODELS
    assert rows - MODELS <= ABANDONED, states
    shown = list((tmp_path / "embeds").glob("*/link.json"))
    assert len(shown) == MODELS
    index = (tmp_path / "embeds" / "index.html").read_text()
    assert all(model in index for model in models)
    print(f"{MODELS} models, {rows - MODELS} rows more than that; {dict(states)}")


def _wait_for_table(engine: object) -> None:
    from sqlalchemy import inspect

    while not inspect(engine).has_table("pme_links"):  # type: ignore[arg-type]
        time.sleep(0.2)
