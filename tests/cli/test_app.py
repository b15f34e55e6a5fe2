"""How a command ends, and that no token among its arguments is taken or echoed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from pme_airflow.cli import app, main
from pme_airflow.cli.output import OutputClosedError
from tests.cli.conftest import Run, Shell
from tests.conftest import SECRET
from tests.support.leaked import TOKEN

LINK = f"https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+{TOKEN}"


@pytest.mark.parametrize(
    "words",
    [
        ("ledger", "flag", TOKEN),
        ("ledger", "flag", "--token", TOKEN),
        ("ledger", "flag", f"--token={TOKEN}"),
        ("ledger", "flag", "--reason", f"seen as {LINK} in a ticket"),
        ("ledger", "flag", "--reason", f"Bearer%20{TOKEN}"),
        ("ledger", "flag", "--model", TOKEN),
        ("ledger", "flag", "--model", LINK),
        ("ledger", "flag", "--audience", TOKEN),
        ("ledger", "flag", "--link-id", TOKEN),
        ("ledger", "flag", "--findings", f"/reports/{TOKEN}.json"),
        ("ledger", "list", "--state", TOKEN),
        ("ledger", "list", "--limit", TOKEN),
        ("ledger", "show", TOKEN),
        ("ledger", TOKEN),
        ("scan", f"/exports/{TOKEN}/x"),
        ("sweep", "--conn-id", TOKEN),
        ("fingerprint", TOKEN),
        (TOKEN,),
        (f"--{TOKEN}",),
    ],
)
def test_a_token_among_the_arguments_is_refused_without_an_echo(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert "standard input" in done.stderr
    assert "An argument contains what looks like an access token" in done.stderr
    assert TOKEN not in done.output


@pytest.mark.parametrize("words", [("--help",), ("ledger", "--help"), ("ledger", "flag", "--help"), ("--version",)])
def test_help_needs_no_connection(words: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PME_DEFAULT")
    assert run(*words).exit_code == 0


def test_a_defect_is_reported_by_its_type_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> None:
        raise RuntimeError(f"a secret: {TOKEN}")

    monkeypatch.setattr("pme_airflow.cli.sweep.open_hook", fails)
    done = run("sweep")
    assert done.exit_code == 2
    assert done.stderr == (
        "pme-airflow: unexpected RuntimeError. This is a defect; run it again with --verbose to see where.\n"
    )
    verbose = run("--verbose", "sweep")
    assert "test_app.py" in verbose.stderr
    assert TOKEN not in done.output + verbose.output


VIEW = "3k5wz1a8f0q2x7c9v6b4n1m8p"


@pytest.mark.parametrize("words", [("--model", VIEW), (f"--model={VIEW}",)])
def test_the_id_of_a_view_is_no_token_where_a_model_is_named(run: Run, words: tuple[str, ...]) -> None:
    run("ledger", "migrate")
    assert run("ledger", "list", "--format", "json", *words).stdout == "[]\n"
    assert run("ledger", "show", VIEW).exit_code == 2


def test_an_interrupted_command_ends_as_a_shell_expects(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pme_airflow.cli.sweep.open_hook", interrupted)
    done = run("sweep")
    assert done.exit_code == 130
    assert "interrupted" in done.stderr


def test_an_interrupt_in_the_middle_of_a_sweep_is_one_line(run: Run, tokens: list[str]) -> None:
    run("ledger", "flag", "--stdin", stdin=tokens[0])
    fields = {"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": "http://127.0.0.1:1"}
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
         "from pme_airflow.cli import main; main(['-v', 'sweep'])"],
        env={**os.environ, "AIRFLOW_CONN_PME_DEFAULT": json.dumps(fields)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # it has begun to work
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=100)
    assert process.returncode == 130, rest
    assert "interrupted" in rest
    assert "Traceback" not in rest


def test_the_id_of_a_view_is_refused_with_the_commands_that_take_it(run: Run) -> None:
    done = run("ledger", "show", "k3f9s8d7q2m4x6z1b5n0c8v7y")
    assert done.exit_code == 2
    assert "`pme-airflow ledger list --model` takes it" in done.stderr


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("pme ledger list | true", 141, "the reader of the output went away"),
        ("pme ledger export > /dev/full", 1, "cannot be written (No space left on device)"),
        ("pme wordpress-plugin > /dev/full", 1, "cannot be written (No space left on device)"),
        ("pme ledger list >&-", 1, "standard output is closed"),
    ],
)
def test_output_that_cannot_be_written_is_one_line(
    shell: Shell, tokens: list[str], line: str, status: int, message: str
) -> None:
    done = shell(line)
    assert done.returncode == status
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_closed_standard_error_is_no_reason_to_fail(shell: Shell, tokens: list[str]) -> None:
    assert shell("pme ledger list 2>&-").returncode == 0
    assert shell("pme ledger show lnk_none 2>&-").returncode == 2


def test_output_is_closed_before_the_interpreter_flushes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        closed = False

        def close(self) -> None:
            self.closed = True
            raise BrokenPipeError

    broken = Broken()
    monkeypatch.setattr(app.sys, "stdout", broken)
    app._discard_output()
    assert broken.closed
    assert app.sys.stdout is None


def test_every_command_is_there() -> None:
    assert set(main.commands) >= {"ledger", "sweep", "scan", "fingerprint", "plan", "emulator", "demo", "up"}
    assert set(main.commands["ledger"].commands) == {  # type: ignore[attr-defined]
        "list", "show", "flag", "export", "migrate", "purge", "reseal",
    }  # fmt: skip
    assert OutputClosedError("x", 5).exit_status == 5
