"""A whole Airflow over an emulator, to click through until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from types import FrameType

from rich.console import Console

from pme_airflow.playground.home import all_published, environment, start_emulator, stop
from pme_airflow.playground.live import PASSWORD, USER, LiveAirflow

__all__ = ["run_up"]

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
        emulator, address = start_emulator(home, "--port", str(emulator_port))
        env = environment(home, address, all_published(home / "published"))
        with LiveAirflow(home, env, port) as live:
            live.wait_until_parsed("pme_nightly_rotation", "pme_link_keeper", "pme_leak_response")
            live.trigger("pme_nightly_rotation")
            console.print(f"[bold]Airflow[/]   {live.address}   login {USER}, password {PASSWORD}")
            console.print(f"[bold]Emulator[/]  {address}   its truth: {address}/_emulator/truth")
            console.print(f"[bold]Gallery[/]   file://{home / 'published' / 'index.html'}")
            console.print("A nightly run was started for you. Ctrl-C ends all of it.")
            ended.wait()
    finally:
        stop(emulator)
    console.print("Everything has ended.")
    return 0
