"""A whole Airflow on this machine: scheduler, DAG processor, triggerer and API server, on a port of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from pme_airflow.dev.playground.home import PlaygroundError, airflow, stop

__all__ = ["LiveAirflow", "free_port"]

_PARTS = ("dag-processor", "scheduler", "triggerer", "api-server")
_START_SECONDS = 120
_CALLS = 5
USER = PASSWORD = "admin"  # noqa: S105 - of a playground on loopback


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class LiveAirflow:
    """Starts the parts of Airflow, and talks to its REST API. A context manager.

    :param home: the Airflow home.
    :param env: the environment, as :func:`.home.environment` makes it.
    :param port: the API server's.
    """

    def __init__(self, home: Path, env: Mapping[str, str], port: int | None = None) -> None:
        self.home = home
        self.address = f"http://127.0.0.1:{port or free_port()}"
        self._parts: list[subprocess.Popen[bytes]] = []
        self._session = requests.Session()
        (home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
        self.env = {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            **env,
            "AIRFLOW__API__PORT": self.address.rsplit(":", 1)[1],
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__API_AUTH__JWT_SECRET": "a-playground-secret-that-guards-nothing-" * 2,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        }

    def __enter__(self) -> LiveAirflow:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start every part, and wait until the API answers.

        :raises PlaygroundError: with the end of the log of the part that did not come up.
        """
        airflow(self.env, "db", "migrate")
        for part in _PARTS:
            self.start_part(part)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if self.healthy():
                return
            self._raise_if_dead()
            time.sleep(0.5)
        raise PlaygroundError(f"Airflow was not healthy after {_START_SECONDS} s. Its logs are in {self.home}/*.log.")

    def start_part(self, part: str) -> subprocess.Popen[bytes]:
        """Start one part of Airflow."""
        with (self.home / f"{part}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *part.split()],
                env=self.env, stdout=log, stderr=subprocess.STDOUT, cwd=self.home, start_new_session=True,
            )  # fmt: skip
        self._parts.append(process)
        return process

    def _raise_if_dead(self) -> None:
        for part, process in zip(_PARTS, self._parts, strict=False):
            if process.poll() is not None:
                end = (self.home / f"{part}.log").read_text(errors="replace")[-2000:]
                raise PlaygroundError(f"airflow {part} ended with {process.returncode}:\n{end}")

    def stop(self) -> None:
        """End every part."""
        for process in self._parts:
            if process.poll() is None:
                process.terminate()
        for process in self._parts:
            stop(process)
        self._parts.clear()

    def healthy(self) -> bool:
        """Whether scheduler, DAG processor and triggerer beat."""
        try:
            said = requests.get(f"{self.address}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all(said[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer"))

    # ------------------------------------------------------------------- REST

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the REST API.

        :param path: below ``/api/v2/``.
        :raises PlaygroundError: where it answers with an error.
        """
        for attempt in range(_CALLS):
            if "Authorization" not in self._session.headers:
                answer = self._session.post(
                    f"{self.address}/auth/token", json={"username": USER, "password": PASSWORD}, timeout=30
                )
                self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            answer = self._session.request(method, f"{self.address}/api/v2/{path}", json=body, params=query, timeout=60)
            if answer.status_code == 401:
                del self._session.headers["Authorization"]
            elif answer.status_code < 500:
                break
            else:
                time.sleep(attempt)  # Airflow's own SQLite database was locked
        if answer.status_code >= 400:
            raise PlaygroundError(f"{method} {path}: HTTP {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run; its id."""
        run = self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def wait_for(self, dag_id: str, run_id: str, seconds: float = 120) -> str:
        """A run's state once it has ended.

        :raises PlaygroundError: where it has not ended in time, or a part of Airflow has.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._raise_if_dead()
            state = str(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])
            if state in ("success", "failed"):
                return state
            time.sleep(0.5)
        raise PlaygroundError(f"{dag_id} {run_id} has not ended after {seconds} s.")

    def seconds(self, dag_id: str, most: float = 600) -> float:
        """Run a DAG, which must succeed; how long the run took by Airflow's own clock.

        :raises PlaygroundError: where it failed, or has not ended in time.
        """
        run = self.trigger(dag_id)
        if self.wait_for(dag_id, run, most) != "success":
            raise PlaygroundError(f"{dag_id} {run} failed.")
        told = self.call("GET", f"dags/{dag_id}/dagRuns/{run}")
        begun, ended = (datetime.fromisoformat(told[at].replace("Z", "+00:00")) for at in ("start_date", "end_date"))
        return (ended - begun).total_seconds()

    def wait_until_parsed(self, *dag_ids: str, seconds: float = 90) -> None:
        """Wait until DAGs are known.

        :raises PlaygroundError: where one is not, with Airflow's import errors.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            known = {dag["dag_id"] for dag in self.call("GET", "dags", limit=100)["dags"]}
            if set(dag_ids) <= known:
                return
            time.sleep(0.5)
        errors = self.call("GET", "importErrors")["import_errors"]
        raise PlaygroundError(f"not parsed after {seconds} s: {dag_ids}; import errors: {errors}")
