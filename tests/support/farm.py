"""A whole Airflow with Celery workers: Redis carries the tasks, PostgreSQL holds Airflow's database and the ledger."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import redis
from sqlalchemy.engine import make_url

from pme_airflow.dev.playground.home import SECRET, environment, stop
from pme_airflow.dev.playground.live import free_port
from tests.support.databases import fields_of, fresh, serving_database
from tests.support.live import DrivenAirflow

MISSING_REDIS = "redis-server is not installed (Debian's package redis-server)"


def redis_program() -> str | None:
    """Where Redis is; ``None`` where it is not installed."""
    return shutil.which("redis-server")


class Farm:
    """Starts a database, a broker and Airflow without workers; workers come and go. A context manager.

    :param home: the Airflow home.
    :param address: the PME API's.
    :param placements: the text of ``placements.yaml``.
    :param extra: the PME connection's extras.
    :param variables: more of the environment.
    """

    def __init__(
        self, home: Path, address: str, placements: str, extra: Mapping[str, object], **variables: str
    ) -> None:
        self.home = home
        self._address = address
        self._placements = placements
        self._extra = dict(extra)
        self._variables = variables
        self._stack = ExitStack()
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self.ledger = ""

    def __enter__(self) -> Farm:
        with ExitStack() as stack:
            admin = stack.enter_context(serving_database("postgresql"))
            broker = stack.enter_context(serving_redis(self.home))
            self._broker = redis.Redis.from_url(broker)
            self.ledger = fresh(admin)
            self.env = self._environment(fresh(admin), broker)
            self.airflow = stack.enter_context(DrivenAirflow(self.home, self.env))
            stack.callback(self._stop_workers)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _environment(self, metadata: str, broker: str) -> dict[str, str]:
        pme = {"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": self._address}
        url = make_url(metadata)
        asynchronous = url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        return environment(
            self.home,
            self._address,
            self._placements,
            AIRFLOW_CONN_PME_DEFAULT=json.dumps(pme | {"extra": {"ledger_conn_id": "ledger", **self._extra}}),
            AIRFLOW_CONN_LEDGER=json.dumps(fields_of(self.ledger)),
            AIRFLOW__CORE__EXECUTOR="airflow.providers.celery.executors.celery_executor.CeleryExecutor",
            AIRFLOW__CORE__PARALLELISM="32",
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=metadata,
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=asynchronous,
            AIRFLOW__CELERY__BROKER_URL=broker,
            AIRFLOW__CELERY__RESULT_BACKEND=f"db+{metadata}",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT="15",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL="3",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC="3",
            **self._variables,
        )

    def start_worker(self, name: str, slots: int = 1) -> None:
        """Start a worker, and wait until it takes tasks."""
        log = self.home / f"worker-{name}.log"
        with log.open("ab") as out:
            self._workers[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", "celery", "worker", "--concurrency", str(slots), "--skip-serve-logs",
                 "--celery-hostname", f"{name}@localhost", "--without-gossip", "--without-mingle"],
                env=self.airflow.env | {"C_FORCE_ROOT": "1"}, stdout=out, stderr=subprocess.STDOUT, cwd=self.home,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + 60
        listening = f"{name}@localhost".encode()
        while not any(listening in bound for bound in self._broker.smembers("_kombu.binding.celery.pidbox")):
            if time.monotonic() > until or self._workers[name].poll() is not None:
                raise AssertionError(f"worker {name} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)

    def runs_on(self, name: str) -> set[int]:
        """The processes of a worker."""
        worker = psutil.Process(self._workers[name].pid)
        return {process.pid for process in worker.children(recursive=True)}

    def kill_worker(self, name: str) -> None:
        """End a worker and whatever it runs at once, as a machine that loses power would."""
        worker = psutil.Process(self._workers.pop(name).pid)
        for process in [worker, *worker.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop_worker(self, name: str) -> None:
        """End a worker kindly."""
        stop(self._workers.pop(name))

    def _stop_workers(self) -> None:
        for name in list(self._workers):
            self.stop_worker(name)


@contextmanager
def serving_redis(folder: Path) -> Iterator[str]:
    """A Redis that keeps nothing; its address as a broker."""
    program = redis_program()
    assert program is not None, MISSING_REDIS
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        client = redis.Redis(port=port)
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        stop(process)
