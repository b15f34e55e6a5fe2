"""A whole Airflow over an emulator, to click through until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console

from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.playground.home import all_published, environment, start_emulator, stop
from pme_airflow.dev.playground.live import PASSWORD, USER, LiveAirflow
from pme_airflow.dev.playground.places import serving_places, serving_showroom

__all__ = ["run_up"]

_MODELS = 5

console = Console(highlight=False, soft_wrap=True)


def run_up(home: Path, port: int, emulator_port: int) -> int:
    """Serve until interrupted; everything lies in ``home``, which is kept between times.

    :param port: Airflow's.
    :param emulator_port: the emulator's.
    :return: the exit status.
    """
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    home.mkdir(parents=True, exist_ok=True)
    emulator: subprocess.Popen[bytes] | None = None
    try:
        console.print("Starting an emulator of the PME API and a whole Airflow; this takes half a minute.")
        emulator, address = start_emulator(home, "--port", str(emulator_port), "--models", str(_MODELS))
        with ExitStack() as stack:
            places = stack.enter_context(serving_places(sample_models(_MODELS)))
            showroom = stack.enter_context(serving_showroom(home / "published", places))
            placements = all_published(home / "published", places.targets)
            env = environment(home, address, placements, **places.environment)
            live = stack.enter_context(LiveAirflow(home, env, port))
            live.wait_until_parsed("pme_nightly_rotation", "pme_link_keeper", "pme_leak_response")
            live.trigger("pme_nightly_rotation")
            console.print(f"[bold]Airflow[/]   {live.address}   login {USER}, password {PASSWORD}")
            console.print(f"[bold]Emulator[/]  {address}   its truth: {address}/_emulator/truth")
            console.print(f"[bold]Shown[/]     {showroom}   gallery, channel and page side by side")
            console.print(f"[bold]Channel[/]   {places.channel}   of a stand-in of Slack")
            console.print(f"[bold]WordPress[/] {places.page or places.why}")
            console.print("A nightly run was started for you. Ctrl-C ends all of it.")
            ended.wait()
    finally:
        stop(emulator)
    console.print("Everything has ended.")
    return 0
