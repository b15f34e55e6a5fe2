"""Serving an emulator: on loopback alone, on a free port, and for as long as it is wanted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.server import serving, serving_app
from pme_airflow.dev.playground.home import stop


def test_two_emulators_take_ports_of_their_own_and_end_with_their_blocks() -> None:
    with serving(World()) as one, serving(World()) as other:
        assert one != other
        assert {urlsplit(address).hostname for address in (one, other)} == {"127.0.0.1"}
        assert requests.get(f"{one}/_emulator/truth", timeout=10).ok
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{one}/_emulator/truth", timeout=10)


def test_an_app_is_made_for_the_address_it_is_served_at() -> None:
    def make(address: str) -> Starlette:
        async def own(_: object) -> PlainTextResponse:
            return PlainTextResponse(address)

        return Starlette(routes=[Route("/", own)])

    with serving_app(make) as address:
        assert requests.get(address, timeout=10).text == address


def test_a_served_process_writes_its_address_once_it_listens(tmp_path: Path) -> None:
    ready = tmp_path / "address"
    command = [
        sys.executable,
        "-m",
        "pme_airflow.cli",
        "emulator",
        "--port",
        "0",
        "--models",
        "3",
        "--ready-file",
        str(ready),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while not (ready.exists() and ready.read_text()) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        assert len(requests.get(f"{ready.read_text()}/_emulator/truth", timeout=10).json()["models"]) == 3
    finally:
        stop(process)
    assert process.returncode == -signal.SIGTERM
