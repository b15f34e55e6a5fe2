"""Every command whose promise was not kept ends with another status than 0, in bounded time, and says why in a line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.cli import deadlines, main
from pme_airflow.hooks import pme
from tests.cli.conftest import Run
from tests.conftest import MODELS
from tests.support.home import pme_in_environment

MODEL = next(iter(MODELS))
FINGERPRINT = "sha256:" + "0" * 64

#: What each command that needs the ledger is called with.
OVER_THE_LEDGER = {
    "doctor": "doctor --only ledger",
    "ledger export": "ledger export",
    "ledger flag": f"ledger flag {FINGERPRINT}",
    "ledger list": "ledger list",
    "ledger migrate": "ledger migrate",
    "ledger purge": "ledger purge --older-than 30d --yes",
    "ledger reseal": "ledger reseal",
    "ledger show": f"ledger show {MODEL}",
    "retire": "retire --audience intranet",
    "scan": "scan {there}",
    "status": "status",
    "sweep": "sweep",
}
#: What each command that needs the API is called with, while a leaked link is alive.
OVER_THE_API = {
    "doctor": "doctor --only connection",
    "ledger flag": "ledger flag --audience intranet --sweep --yes",
    "ledger reseal": "ledger reseal",
    "retire": "retire --audience intranet",
    "scan": "scan --sweep {there}",
    "sweep": "sweep",
}
#: What the other commands are called with so that they cannot do what they are for.
OTHERS = {
    "completion": "completion tcsh",
    "demo": "demo --no-such-option",
    "emulator": "emulator --port {taken}",
    "fingerprint": "fingerprint",
    "init": "init {there}/token.txt",
    "plan": "plan {there}/nowhere.yaml",
    "up": "up --port 99999",
    "wordpress-move": "wordpress-move {there}/nowhere.yaml",
    "wordpress-plugin": "wordpress-plugin {there}/token.txt/plugin.zip",
}


def names(group: Any, before: str = "") -> Iterator[str]:
    """The names of all commands."""
    for name, command in group.commands.items():
        yield from names(command, f"{name} ") if hasattr(command, "commands") else [f"{before}{name}"]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to scan; placements that publish nowhere."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "token.txt").write_text("nothing")
    (tmp_path / "placements.yaml").write_text(
        f"audience: broker\nmodels: [{MODEL}]\ntargets: [{{kind: object_storage, path: 'file://{tmp_path}/out'}}]"
    )
    monkeypatch.setenv("PME_PLACEMENTS", str(tmp_path / "placements.yaml"))
    return tmp_path / "there"


def explained(stderr: str) -> list[str]:
    """The lines that say what went wrong."""
    assert "Traceback" not in stderr
    assert "This is a defect" not in stderr
    return [line for line in stderr.splitlines() if line.startswith(("pme-airflow: ", "NOT revoked"))]


def test_every_command_is_in_one_of_the_tables() -> None:
    assert {*OVER_THE_LEDGER, *OVER_THE_API, *OTHERS} == set(names(main))


@pytest.mark.parametrize("command", sorted(OVER_THE_LEDGER))
@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_ledger_that_never_answers_or_refuses_ends_every_command_that_needs_it(
    run: Run, silent: int, there: Path, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    command: str, kind: str,
) -> None:  # fmt: skip
    fields = {"conn_type": kind, "host": "127.0.0.1", "login": "u", "password": "secret-of-the-database", "schema": "s"}
    pme_in_environment(monkeypatch, tmp_path / "home", **connection, extra={"ledger_conn_id": "db"})
    waits = command in ("status", "sweep") and kind == "postgres"
    hung = {**fields, "port": silent if waits else 1, "extra": {"connect_timeout": 2}}
    monkeypatch.setenv("AIRFLOW_CONN_DB", json.dumps(hung))
    done = run(*OVER_THE_LEDGER[command].format(there=there).split())
    assert done.exit_code == 2, done.output
    if command == "doctor":
        assert "cannot be reached or went away" in done.stdout
    else:
        (line,) = explained(done.stderr)
        assert "cannot be reached or went away" in line
        assert "ledger_conn_id" in line
    assert "secret-of-the-database" not in done.output


@pytest.mark.parametrize("command", sorted(OVER_THE_API))
@pytest.mark.parametrize("how", ["refuses", "never answers"])
def test_an_api_that_is_away_ends_every_command_that_needs_it(
    run: Run, tokens: list[str], silent: int, there: Path, connection: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, how: str,
) -> None:  # fmt: skip
    run("ledger", "flag", "--stdin", stdin=tokens[0])
    (there / "token.txt").write_text(tokens[1])
    monkeypatch.setattr(deadlines, "MAX_WAIT", timedelta(seconds=1))
    monkeypatch.setattr(pme, "_BRIEF_SECONDS", 1)
    port = 1 if how == "refuses" else silent
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "host": f"http://127.0.0.1:{port}"})
    done = run(*OVER_THE_API[command].format(there=there).split())
    assert done.exit_code == (2 if command in ("doctor", "ledger reseal") else 1), done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("  bad")] if command == "doctor" else []
    lines = lines or explained(done.stderr)
    assert lines
    assert all(f"http://127.0.0.1:{port} was not reached: " in line for line in lines)


@pytest.mark.parametrize("command", ["plan", "status", "ledger list", "ledger show {model}", "ledger export"])
def test_an_api_that_never_answers_keeps_no_command_waiting_that_does_without_it(
    run: Run, tokens: list[str], silent: int, there: Path, connection: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str,
) -> None:  # fmt: skip
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "host": f"http://127.0.0.1:{silent}"})
    done = run(*command.format(model=MODEL).split())
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("command", sorted(OTHERS))
def test_every_other_command_that_cannot_do_what_it_is_for_ends_with_two(
    run: Run, silent: int, there: Path, command: str
) -> None:
    done = run(*OTHERS[command].format(taken=silent, there=there).split(), stdin="")
    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) >= 1
    assert "Traceback" not in done.stderr
