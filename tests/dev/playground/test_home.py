"""Airflow homes over an emulator: what is written into them, and how the programs in them are started and stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from pme_airflow.dev.playground import home as homes
from pme_airflow.dev.playground.home import (
    SECRET,
    PlaygroundError,
    airflow,
    all_published,
    command,
    environment,
    start_emulator,
    stop,
)
from pme_airflow.placements import check


def test_the_environment_connects_to_the_emulator_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", "the user's own")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "the user's own")
    env = environment(tmp_path / "home", "http://127.0.0.1:1", "the text", AIRFLOW__LOGGING__LOGGING_LEVEL="INFO")
    connection = json.loads(env["AIRFLOW_CONN_PME_DEFAULT"])
    assert (connection["host"], connection["login"], connection["password"]) == (
        "http://127.0.0.1:1",
        "emulator-client",
        SECRET,
    )
    assert "the user's own" not in env.values()
    assert env["AIRFLOW_HOME"] == env["HOME"] == str(tmp_path / "home")
    assert Path(env["PME_PLACEMENTS"]).read_text() == "the text"
    assert env["AIRFLOW__LOGGING__LOGGING_LEVEL"] == "INFO"
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_the_placements_publish_every_model_to_the_folder(tmp_path: Path) -> None:
    text = all_published(tmp_path / "published", "  - {kind: slack, channel: '#tours'}\n")
    (placement,) = check(text)
    assert placement.audience == "intranet"
    assert [target.kind for target in placement.targets] == ["object_storage", "slack"]
    assert placement.targets[0].options["path"] == f"file://{tmp_path}/published"
    assert placement.listed_models is None


def test_an_emulator_serves_once_its_address_is_known(tmp_path: Path) -> None:
    process, address = start_emulator(tmp_path, "--models", "2")
    try:
        form = {"grant_type": "client_credentials", "client_id": "emulator-client", "client_secret": SECRET}
        assert requests.post(f"{address}/api/oauth/token", data=form, timeout=10).ok
        assert len(requests.get(f"{address}/_emulator/truth", timeout=10).json()["models"]) == 2
    finally:
        stop(process)
    assert process.poll() is not None


def test_an_emulator_that_does_not_start_is_named_with_its_options(tmp_path: Path) -> None:
    (tmp_path / "emulator.address").write_text("http://127.0.0.1:1")  # of an earlier one
    with pytest.raises(PlaygroundError, match=r"emulator --fault nonsense=1` to see why"):
        start_emulator(tmp_path, "--fault", "nonsense=1")


def test_a_command_runs_in_the_environment_of_the_home() -> None:
    done = command(
        {"A": "1", "PATH": ""}, "timeit", "-n1", "-r1", "-s", "import os; print(os.environ['A'], input())", stdin="x"
    )
    assert done.stdout.startswith("1 x")


def test_an_airflow_command_that_fails_is_shown_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 3, "", "x" * 5000 + "the reason")
    monkeypatch.setattr(homes, "command", lambda env, *arguments: failed)
    with pytest.raises(PlaygroundError, match=r"(?s)airflow dags list ended with 3.*the reason") as raised:
        airflow({}, "dags", "list")
    assert len(str(raised.value)) < 3100
    assert airflow({}, "dags", "list", check=False) == 3


def test_stopping_ends_a_process_that_ignores_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    wait = process.wait
    monkeypatch.setattr(
        process,
        "wait",
        lambda timeout: wait(min(timeout, 0.2) if process.poll() is None and timeout == 15 else timeout),
    )
    stop(process)
    assert process.returncode == -9


def test_stopping_what_has_ended_or_never_started_does_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    stop(process)
    stop(None)
    assert process.returncode == 0
