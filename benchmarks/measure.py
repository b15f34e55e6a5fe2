"""What the benchmarks share: a quick API as a process of its own, services over it, and figures with their spread."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from sqlalchemy import Engine

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.home import SECRET, stop
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr

CLIENT_ID = "emulator-client"
#: How often each figure is measured; BENCH_RUNS for a quick look.
RUNS = int(os.environ.get("BENCH_RUNS", "5"))


@dataclass(frozen=True)
class Figure:
    """One line of the table: a figure, its samples, and what it is to reach."""

    name: str
    samples: list[float]
    goal: str
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def cells(self) -> tuple[str, str, str, str]:
        low, high = min(self.samples), max(self.samples)
        return (
            self.name,
            f"{self.median:.3g}{self.unit}",
            f"{low:.3g} to {high:.3g} ({len(self.samples)} runs)",
            self.goal,
        )


@contextmanager
def api(latency: float, per_second: float = 0.0) -> Iterator[str]:
    """A quick API in a process of its own; gives its address."""
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as home:
        ready = Path(home) / "address"
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.quick_api", str(ready), str(latency), str(per_second)]
        )
        try:
            while not (ready.exists() and _listens(ready.read_text())):
                time.sleep(0.02)
            yield ready.read_text()
        finally:
            stop(process)


def _listens(address: str) -> bool:
    try:
        return bool(address) and requests.get(f"{address}/counts", timeout=5).ok
    except requests.ConnectionError:
        return False


@contextmanager
def services(address: str, engine: Engine | None = None, **settings: object) -> Iterator[Services]:
    """Services over a fresh SQLite ledger, or over an engine's."""
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as home:
        client = PMEClient(CLIENT_ID, SecretStr(SECRET), address, ClientSettings(**settings))  # type: ignore[arg-type]
        database = Database(engine or sqlite_engine(Path(home) / "ledger.db"), SystemClock(), migrate=True)
        database.prepare()
        client.check_credentials()
        try:
            yield Services(client, database, Sealer.of_connection(SecretStr(SECRET)), SystemClock())
        finally:
            client.close()
            database.engine.dispose()


def timed(work: Callable[[], object]) -> float:
    """Seconds some work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def kilobytes(name: str) -> int:
    """Return a value of this process's memory in kilobytes: ``VmRSS`` for now, ``VmHWM`` for the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def processor_time(work: Callable[[], object]) -> float:
    """Return the seconds of processor time that work takes in this process, all threads together."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def plain_mint(address: str, models: list[str]) -> float:
    """Seconds a link takes in the usual loop: one session, one request a link."""
    session = requests.Session()
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}
    token = session.post(f"{address}/api/oauth/token", data=form, timeout=30).json()["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"

    def loop() -> None:
        for model_id in models:
            query = (
                f"mutation {{createPrivateModelEmbedLink(modelId: {json.dumps(model_id)}, clientId: "
                f'{json.dumps(CLIENT_ID)}, clientSecret: {json.dumps(SECRET)}, validFor: "24h") '
                "{accessToken application link validUntil}}"
            )
            answer = session.post(f"{address}/api/models/graph", json={"query": query}, timeout=30)
            assert answer.json()["data"]["createPrivateModelEmbedLink"]["accessToken"]

    return timed(loop) / len(models)
