"""PendingMint against the usual way in Airflow: an ``HttpOperator`` mapped over the models, in a live Airflow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.measure import RUNS, Figure, api, services, timed
from benchmarks.minting import DEFAULTS, LATENCY, ensure
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.playground.home import environment
from tests.support.live import DrivenAirflow

MAPPED = 100
LINKS = 10_000
_DAG = """
import json
from datetime import datetime
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

MODELS = {models}

def query(model):
    field = "createPrivateModelEmbedLink(modelId: " + json.dumps(model) + ") {{link}}"
    return json.dumps({{"query": "mutation {{" + field + "}}"}})

with DAG("usual", schedule=None, start_date=datetime(2026, 1, 1)):
    HttpOperator.partial(
        task_id="mint", http_conn_id="api", method="POST", endpoint="api/models/graph",
        headers={{"Content-Type": "application/json", "Authorization": "Bearer x"}},
    ).expand(data=[query(model) for model in MODELS])
"""
_OURS = """
from datetime import datetime
from airflow.sdk import DAG
from pme_airflow.operators.pme import PMEMintLinksOperator

with DAG("ours", schedule=None, start_date=datetime(2026, 1, 1)):
    PMEMintLinksOperator(task_id="mint", models={models})
"""


def figures() -> Iterator[Figure]:
    """Our links a second over the usual way's."""
    models = list(sample_models(LINKS))
    with api(LATENCY) as address, tempfile.TemporaryDirectory(prefix="pme-bench-") as folder:
        usual, ours = _runs(Path(folder), address, models[:MAPPED])
        defaults, wide = [], []
        for seconds in usual:
            with services(address, **DEFAULTS) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                defaults.append((LINKS / took) / (MAPPED / seconds))
            with services(address, batch_size=25, max_concurrency=16) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                wide.append((LINKS / took) / (MAPPED / seconds))
    yield Figure("seconds of a whole run that mints for 100 models, ours", ours, "", " s")
    yield Figure("the same, 100 mapped HttpOperator tasks", usual, "", " s")
    yield Figure(f"mint ({LINKS:,} links) against 100 mapped HttpOperator tasks, defaults", defaults, "350", " times")
    yield Figure("the same against HttpOperator, batch 25 and 16 at once", wide, "1,000", " times")


def _runs(home: Path, address: str, models: list[str]) -> tuple[list[float], list[float]]:
    """Seconds each run of the usual DAG takes, and each of this package's, in turn in one live Airflow."""
    env = environment(home, address, "audience: a\nmodels: [yyHDFKzPzvN]\ntargets: [{kind: slack, channel: c}]\n")
    (home / "usual").mkdir()
    (home / "usual" / "usual.py").write_text(_DAG.format(models=models))
    (home / "usual" / "ours.py").write_text(_OURS.format(models=models))
    parts = urlsplit(address)
    connection = {"conn_type": "http", "host": parts.hostname, "port": parts.port, "schema": "http"}
    env |= {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "usual"), "AIRFLOW_CONN_API": json.dumps(connection)}
    with DrivenAirflow(home, env) as live:
        live.wait_until_parsed("usual", "ours")
        took = [(live.seconds("usual"), live.seconds("ours")) for _ in range(RUNS)]
    return [usual for usual, _ in took], [ours for _, ours in took]
