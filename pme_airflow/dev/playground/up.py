"""Run a whole Airflow, configured for an emulator, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import requests
from rich.console import Console

from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.playground.home import all_published, environment, start_emulator, stop
from pme_airflow.dev.playground.live import USER, LiveAirflow
from pme_airflow.dev.playground.places import serving_places, serving_showroom
from pme_airflow.extras import require_extra

__all__ = ["run_up"]

_MODELS = 5
_NIGHTLY = "pme_nightly_rotation"
_DAGS = (_NIGHTLY, "pme_link_keeper", "pme_leak_response", "pme_revocation_sweep")
#: How long the scheduler may take to create the nightly run that it creates for a new DAG.
_SCHEDULER_SECONDS = 15.0
_IN_ENVIRONMENT = "AIRFLOW_CONN_"

console = Console(highlight=False, soft_wrap=True)


def run_up(home: Path, port: int, emulator_port: int) -> int:
    """Run Airflow until SIGINT or SIGTERM.

    :param home: the Airflow home; it is kept, and used again the next time.
    :param port: the port of Airflow's API server.
    :param emulator_port: the port of the emulator.
    :return: the exit status.
    :raises PMEInputError: if the extra ``slack`` is not installed.
    """
    require_extra("slack")
    ended = _signalled()
    home.mkdir(parents=True, exist_ok=True)
    console.print("Starting an emulator of the PME API and a whole Airflow; this takes half a minute.")
    with ExitStack() as stack:
        emulator, address = start_emulator(home, "--port", str(emulator_port), "--models", str(_MODELS))
        stack.callback(stop, emulator)
        places = stack.enter_context(serving_places(sample_models(_MODELS)))
        showroom = stack.enter_context(serving_showroom(home / "published", places))
        placements = all_published(home / "published", places.targets, public_url=f"{showroom.rstrip('/')}/gallery")
        env = environment(home, address, placements, **places.environment, AIRFLOW__LOGGING__LOGGING_LEVEL="INFO")
        connections = {name: env.pop(name) for name in list(env) if name.startswith(_IN_ENVIRONMENT)}
        live = stack.enter_context(LiveAirflow(home, env, port))
        _add_connections(live, connections)
        live.wait_until_parsed(*_DAGS)
        run_id = _nightly_run(live)
        console.print(f"[bold]Airflow[/]   {live.address}   login {USER}, password {live.password}")
        console.print(f"[bold]Emulator[/]  {address}   its state: {address}/_emulator/truth")
        console.print(f"[bold]Shown[/]     {showroom}   gallery, channel and page next to each other")
        console.print(f"[bold]Channel[/]   {places.channel}   of a stand-in of Slack")
        console.print(f"[bold]WordPress[/] {places.page or places.why}")
        console.print("The nightly rotation runs; the first links are shown in about a minute. Press Ctrl-C to stop.")
        if _wait_for_links(live, run_id, ended):
            console.print(f"[bold]A leak[/]    {_a_live_link(address)}")
            console.print("          to try the leak response: paste it under Browse > Private links > Leaks")
        ended.wait()
    console.print("Everything has stopped.")
    return 0


def _signalled() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ended


def _add_connections(live: LiveAirflow, connections: Mapping[str, str]) -> None:
    """Store connections in Airflow's database, so that Admin > Connections shows them and its Test button works.

    :param connections: JSON by the name of the environment variable.
    """
    entities = [_entity(name, json.loads(text)) for name, text in sorted(connections.items())]
    action = {"action": "create", "entities": entities, "action_on_existence": "overwrite"}
    live.call("PATCH", "connections", {"actions": [action]})


def _entity(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a connection as the REST API takes it."""
    entity = {"connection_id": name.removeprefix(_IN_ENVIRONMENT).lower(), **fields}
    if isinstance(entity.get("extra"), Mapping):
        entity["extra"] = json.dumps(entity["extra"])
    host, _, port = str(entity.get("host", "")).rpartition(":")
    if port.isdecimal():  # Airflow 3.3's Test button needs the port in its own field
        entity |= {"host": host, "port": int(port)}
    return entity


def _nightly_run(live: LiveAirflow) -> str:
    """Return the id of the nightly run that the scheduler creates for a new DAG, or of one that is triggered."""
    until = time.monotonic() + _SCHEDULER_SECONDS
    while time.monotonic() < until:
        runs = live.call("GET", f"dags/{_NIGHTLY}/dagRuns", order_by="-run_after", limit=5)["dag_runs"]
        active = [run for run in runs if run["state"] in ("queued", "running")]
        if active:
            return str(active[0]["dag_run_id"])
        time.sleep(0.5)
    return live.trigger(_NIGHTLY)


def _wait_for_links(live: LiveAirflow, run_id: str, ended: threading.Event) -> bool:
    """Wait until a nightly run has ended; return whether it has, and published its links."""
    while not ended.wait(1.0):
        state = live.call("GET", f"dags/{_NIGHTLY}/dagRuns/{run_id}")["state"]
        if state in ("success", "failed"):
            return bool(state == "success")
    return False


def _a_live_link(address: str) -> str:
    """Return the newest link that is alive, from the emulator: an older one may have been replaced already."""
    truth = requests.get(f"{address}/_emulator/truth", timeout=10).json()
    issued = max((token for token in truth["tokens"] if token["alive"]), key=lambda token: str(token["issued_at"]))
    return f"https://my.matterport.com/show?m={issued['model_id']}&auth=Bearer%20{issued['token']}"
