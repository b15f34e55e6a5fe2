"""Minting against the usual way in Airflow: an ``HttpOperator`` mapped over the models, in a live Airflow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.measure import RUNS, Figure, api, services, timed
from benchmarks.minting import LATENCY, LINKS, ensure
from pme_airflow.emulator.samples import sample_models
from pme_airflow.playground.home import environment
from pme_airflow.playground.live import LiveAirflow

MAPPED = 100
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


def figures() -> Iterator[Figure]:
    """Our links a second over the usual way's."""
    models = list(sample_models(LINKS))
    with api(LATENCY) as address, tempfile.TemporaryDirectory(prefix="pme-bench-") as folder:
        usual = _usual(Path(folder), address, models[:MAPPED])
        defaults, wide = [], []
        for seconds in usual:
            with services(address) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                defaults.append((LINKS / took) / (MAPPED / seconds))
            with services(address, batch_size=25, max_concurrency=16) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                wide.append((LINKS / took) / (MAPPED / seconds))
    yield Figure("mint against 100 mapped HttpOperator tasks, defaults", defaults, "350", " times")
    yield Figure("the same against HttpOperator, batch 25 and 16 at once", wide, "1,000", " times")


def _usual(home: Path, address: str, models: list[str]) -> list[float]:
    """Seconds each run of the usual DAG takes."""
    env = environment(home, address, "audience: a\nmodels: [yyHDFKzPzvN]\ntargets: [{kind: slack, channel: c}]\n")
    (home / "usual").mkdir()
    (home / "usual" / "usual.py").write_text(_DAG.format(models=models))
    parts = urlsplit(address)
    connection = {"conn_type": "http", "host": parts.hostname, "port": parts.port, "schema": "http"}
    env |= {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "usual"), "AIRFLOW_CONN_API": json.dumps(connection)}
    took = []
    with LiveAirflow(home, env) as live:
        live.wait_until_parsed("usual")
        for _ in range(RUNS):
            run = live.trigger("usual")
            assert live.wait_for("usual", run, 300) == "success"
            told = live.call("GET", f"dags/usual/dagRuns/{run}")
            begun, ended = (
                datetime.fromisoformat(told[key].replace("Z", "+00:00")) for key in ("start_date", "end_date")
            )
            took.append((ended - begun).total_seconds())
    return took
