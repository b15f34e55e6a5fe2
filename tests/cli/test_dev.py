"""The stand-ins are started with what their options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pme_airflow.cli import main
from pme_airflow.dev.emulator import World


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the emulator would serve."""
    served: list[Any] = []

    def serve(world: World, port: int, ready_file: Path | None, announce: Any) -> None:
        announce(f"http://127.0.0.1:{port}")
        served.append((world, port, ready_file))

    monkeypatch.setattr("pme_airflow.dev.emulator.server.serve", serve)
    return served


def test_the_emulator_serves_what_its_options_say(served: list[Any], tmp_path: Path) -> None:
    words = ["--port", "1234", "--models", "7", "--client-id", "c", "--client-secret", "s", "--latency", "0.5",
             "--token-lifetime", "60", "--second-spelling", "--drop-nulls", "--max-aliases", "3", "--seed", "9",
             "--fault", "bad_gateway=0.5", "--fault", "throttled=1", "--ready-file", str(tmp_path / "ready")]  # fmt: skip
    done = CliRunner().invoke(main, ["emulator", *words])
    assert done.exit_code == 0, done.output
    assert done.stderr == "The emulator serves 7 models on http://127.0.0.1:1234\n"
    ((world, port, ready_file),) = served
    settings = world.settings
    assert (port, ready_file, len(world.models)) == (1234, tmp_path / "ready", 7)
    assert (settings.client_id, settings.client_secret, settings.latency) == ("c", "s", 0.5)
    assert (settings.token_lifetime, settings.second_spelling, settings.drop_nulls) == (60, True, True)
    assert (settings.max_aliases, settings.seed) == (3, 9)
    assert world.faults == {"bad_gateway": 0.5, "throttled": 1.0}


def test_the_secret_of_the_emulator_may_come_from_the_environment(
    served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PME_EMULATOR_SECRET", "from the environment")
    assert CliRunner().invoke(main, ["emulator"]).exit_code == 0
    assert served[0][0].settings.client_secret == "from the environment"


@pytest.mark.parametrize("fault", ["nonsense=0.5", "throttled=2", "throttled", "throttled=often"])
def test_a_fault_that_is_none_is_refused(served: list[Any], fault: str) -> None:
    done = CliRunner().invoke(main, ["emulator", "--fault", fault])
    assert done.exit_code == 2
    assert "--fault" in done.stderr
    assert served == []


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("pme_airflow.dev.emulator.server.serve", taken)
    done = CliRunner().invoke(main, ["emulator", "--port", "80"])
    assert done.exit_code == 2
    assert "--port 80: cannot be served (Address already in use)" in done.stderr


@pytest.mark.parametrize("status", [0, 1])
def test_the_demo_and_a_whole_airflow_end_as_they_went(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    seen: list[Any] = []

    def run_demo(*, keep: bool) -> int:
        seen.append(keep)
        return status

    def run_up(*words: Any) -> int:
        seen.append(words)
        return status

    monkeypatch.setattr("pme_airflow.dev.playground.demo.run_demo", run_demo)
    monkeypatch.setattr("pme_airflow.dev.playground.up.run_up", run_up)
    assert CliRunner().invoke(main, ["demo", "--keep"]).exit_code == status
    assert CliRunner().invoke(main, ["up", "--home", "/x", "--port", "1", "--emulator-port", "2"]).exit_code == status
    assert seen == [True, (Path("/x"), 1, 2)]
