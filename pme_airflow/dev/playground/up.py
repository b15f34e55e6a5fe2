"""Run a whole Airflow, configured for an emulator, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console

from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.playground.home import all_published, environment, start_emulator, stop
from pme_airflow.dev.playground.live import USER, LiveAirflow
from pme_airflow.dev.playground.places import serving_places, serving_showroom
from pme_airflow.extras import require_extra

__all__ = ["run_up"]

_MODELS = 5
_DAGS = ("pme_nightly_rotation", "pme_link_keeper", "pme_leak_response")

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
        env = environment(home, address, all_published(home / "published", places.targets), **places.environment)
        live = stack.enter_context(LiveAirflow(home, env, port))
        live.wait_until_parsed(*_DAGS)
        live.trigger("pme_nightly_rotation")
        console.print(f"[bold]Airflow[/]   {live.address}   login {USER}, password {live.password}")
        console.print(f"[bold]Emulator[/]  {address}   its state: {address}/_emulator/truth")
        console.print(f"[bold]Shown[/]     {showroom}   gallery, channel and page next to each other")
        console.print(f"[bold]Channel[/]   {places.channel}   of a stand-in of Slack")
        console.print(f"[bold]WordPress[/] {places.page or places.why}")
        console.print("The nightly rotation has been triggered. Press Ctrl-C to stop everything.")
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
