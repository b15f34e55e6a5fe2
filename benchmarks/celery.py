"""Two Celery workers against one: the mint of a large account, mapped over its parts, in a live Airflow."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import RUNS, Figure, api
from pme_airflow.placements.batching import batches
from tests.support.farm import MISSING_REDIS, Farm, redis_program

MODELS = 20_000
LATENCY = 0.2
_PLACEMENTS = "audience: a\nmodels: [yyHDFKzPzvN]\ntargets: [{kind: slack, channel: c}]\n"
_DAG = """
from datetime import datetime
from airflow.sdk import DAG
from pme_airflow.operators.pme import PMEMintLinksOperator

with DAG("many", schedule=None, start_date=datetime(2026, 1, 1)):
    PMEMintLinksOperator.partial(task_id="mint").expand(models={parts})
"""


def figures() -> Iterator[Figure]:
    """The time of a run by one worker over that of one by two, each with one slot and 8 requests at once."""
    if redis_program() is None:
        print(f"  skipped: {MISSING_REDIS}", file=sys.stderr)
        return
    parts = batches([f"M{index:010d}" for index in range(MODELS)])
    ratios = []
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as folder, api(LATENCY) as address:
        home = Path(folder)
        (home / "many").mkdir()
        (home / "many" / "many.py").write_text(_DAG.format(parts=json.dumps(parts)))
        extra = {"max_concurrency": 8, "batch_size": 10}
        with Farm(home, address, _PLACEMENTS, extra, AIRFLOW__CORE__DAGS_FOLDER=str(home / "many")) as farm:
            farm.airflow.wait_until_parsed("many")
            farm.start_worker("first")
            for _ in range(RUNS):
                alone = farm.airflow.seconds("many")
                farm.start_worker("second")
                ratios.append(alone / farm.airflow.seconds("many"))
                farm.stop_worker("second")
                print(f"    {alone:.1f} s alone, {ratios[-1]:.2f} times", file=sys.stderr, flush=True)
    yield Figure(f"two Celery workers against one, {MODELS:,} models, an API of {LATENCY * 1000:.0f} ms", ratios,
                 "1.6", " times")  # fmt: skip
