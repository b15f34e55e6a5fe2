"""The command line in an Airflow home that is nothing but a connection in the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pme_airflow.cli import main
from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

Run = Callable[..., Result]
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def connection(world: World, address: str) -> dict[str, Any]:
    """The fields of the connection, for a test to change."""
    return {"login": world.settings.client_id, "password": SECRET, "host": address}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection: dict[str, Any]) -> Run:
    """Runs a command in this process."""
    pme_in_environment(monkeypatch, tmp_path / "home", **connection)

    def command(*words: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, list(words), input=stdin)

    return command


@pytest.fixture
def shell(run: Run) -> Shell:
    """Runs a command line in a shell of its own, as a person would; ``pme`` stands for the command."""

    def command(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
        pme = f"{sys.executable} -m pme_airflow.cli"
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; pme() {{ {pme} \"$@\"; }}; {line}"],
            capture_output=True, text=True, errors="replace", timeout=200,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **variables},
        )  # fmt: skip

    return command


@pytest.fixture
def tokens(run: Run, world: World) -> list[str]:
    """Three live links' tokens, by model."""
    PMEHook().mint(list(MODELS)[:3], audience="intranet")
    return [issued.token for issued in sorted(world.alive(), key=lambda issued: issued.model_id)]


def listed(run: Run) -> list[dict[str, Any]]:
    """The ledger's links, newest first."""
    rows: list[dict[str, Any]] = json.loads(run("ledger", "list", "--format", "json").stdout)
    return rows
