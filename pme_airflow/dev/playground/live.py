"""Run a whole Airflow on this machine: scheduler, DAG processor, triggerer and API server, on a port of its own."""

from __future__ import annotations

import json
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from pme_airflow.dev.playground.home import PlaygroundError, airflow, stop

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LiveAirflow", "free_port"]

_COMPONENTS = ("dag-processor", "scheduler", "triggerer", "api-server")
_WITH_HEARTBEAT = ("scheduler", "dag_processor", "triggerer")
_START_SECONDS = 120
_CALLS = 5
#: Ports below those that the kernel gives to outgoing connections, one of which could take a port just found free.
_PORTS = range(20000, 32000)
USER = "admin"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, drawn at random so that parallel callers get different ones.

    :raises PlaygroundError: if a hundred ports are taken.
    """
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise PlaygroundError(f"No port from {_PORTS.start} to {_PORTS.stop - 1} is free on 127.0.0.1.")


class LiveAirflow:
    """A running Airflow and a client of its REST API. A context manager.

    The password and the key of its logins are new ones each time: pages that a browser shows can send requests to
    127.0.0.1, so that a known password would let them in.

    :param home: the Airflow home.
    :param env: the environment, as :func:`.home.environment` returns it.
    :param port: the port of the API server; a free one by default.
    """

    def __init__(self, home: Path, env: Mapping[str, str], port: int | None = None) -> None:
        self.home = home
        self.address = f"http://127.0.0.1:{port or free_port()}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()
        self.password = secrets.token_urlsafe(12)
        passwords = home / "passwords.json"
        passwords.touch(0o600)
        passwords.write_text(json.dumps({USER: self.password}))
        self.env = {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            **env,
            "AIRFLOW__API__PORT": self.address.rsplit(":", 1)[1],
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all components, and wait until they are healthy.

        :raises PlaygroundError: if a component ends, or they are not healthy in time.
        """
        airflow(self.env, "db", "migrate")
        for component in _COMPONENTS:
            self.start_part(component)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if self.healthy():
                return
            self.raise_if_ended()
            time.sleep(0.5)
        raise PlaygroundError(f"Airflow was not healthy after {_START_SECONDS} s. Its logs are in {self.home}/*.log.")

    def start_part(self, component: str) -> subprocess.Popen[bytes]:
        """Start one component of Airflow, ``scheduler`` for example; several of one kind may run."""
        with (self.home / f"{component}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *component.split()],
                env=self.env, stdout=log, stderr=subprocess.STDOUT, cwd=self.home, start_new_session=True,
            )  # fmt: skip
        name = component if component not in self._processes else f"{component} {process.pid}"
        self._processes[name] = process
        return process

    def raise_if_ended(self) -> None:
        """Raise an error with the end of its log if a component of :meth:`start` has ended.

        :raises PlaygroundError: if one has.
        """
        for component in _COMPONENTS:
            process = self._processes.get(component)
            if process is not None and process.poll() is not None:
                end = (self.home / f"{component}.log").read_text(errors="replace")[-2000:]
                raise PlaygroundError(f"airflow {component} ended with status {process.returncode}:\n{end}")

    def stop(self) -> None:
        """Stop all components."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            stop(process)
        self._processes.clear()

    def healthy(self) -> bool:
        """Return whether scheduler, DAG processor and triggerer send heartbeats."""
        try:
            health = requests.get(f"{self.address}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all(health[component]["status"] == "healthy" for component in _WITH_HEARTBEAT)

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the REST API, and return the JSON of the response.

        A call is repeated with a new login after a 401, and up to four times after a 5xx: Airflow's SQLite database may
        be locked.

        :param path: the path below ``/api/v2/``.
        :raises PlaygroundError: if the response is an error.
        """
        url = f"{self.address}/api/v2/{path}"
        for attempt in range(_CALLS):
            if "Authorization" not in self._session.headers:
                self._log_in()
            response = self._session.request(method, url, json=body, params=query, timeout=60)
            if response.status_code == 401:
                del self._session.headers["Authorization"]
            elif response.status_code < 500:
                break
            else:
                time.sleep(attempt)
        if response.status_code >= 400:
            raise PlaygroundError(f"{method} {path}: HTTP {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    def _log_in(self) -> None:
        credentials = {"username": USER, "password": self.password}
        response = self._session.post(f"{self.address}/auth/token", json=credentials, timeout=30)
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG; return its id."""
        run = self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def wait_until_parsed(self, *dag_ids: str, seconds: float = 90) -> None:
        """Wait until Airflow knows some DAGs.

        :raises PlaygroundError: if it does not know one of them in time; the message has its import errors.
        """
        known: set[str] = set()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            known = {dag["dag_id"] for dag in self.call("GET", "dags", limit=100)["dags"]}
            if set(dag_ids) <= known:
                return
            time.sleep(0.5)
        errors = self.call("GET", "importErrors")["import_errors"]
        missing = ", ".join(sorted(set(dag_ids) - known))
        raise PlaygroundError(f"Airflow did not parse {missing} within {seconds} s. Its import errors: {errors}")
