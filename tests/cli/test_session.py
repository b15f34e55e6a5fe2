"""What commands share: standard input in any form, and the connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from pme_airflow.cli import session
from tests.cli.conftest import Run, Shell
from tests.support.leaked import FINGERPRINT, TOKEN


def test_standard_input_that_is_no_text_is_read_as_far_as_it_goes(run: Run) -> None:
    done = run("fingerprint", stdin=b"\xff\xfe\x80 garbage\n" + TOKEN.encode() + b"\r\n")
    assert done.stdout == f"{FINGERPRINT}\n"
    assert "1 of 2 lines" in done.stderr


def test_standard_input_that_is_closed_or_too_large_is_named(
    shell: Shell, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = shell("pme ledger flag --stdin <&-")
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr
    monkeypatch.setattr(session, "_MAX_STDIN_BYTES", 10)
    done = run("fingerprint", stdin="x" * 11)
    assert done.exit_code == 2
    assert "over 10 bytes" in done.stderr
    assert "no token" in run("fingerprint", stdin="x y" * 3).stderr


def test_a_terminal_is_prompted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import io

    class Terminal(io.StringIO):
        buffer = io.BytesIO(b"a\n\nb")

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    assert session.read_stdin_lines("model ids") == ["a", "b"]
    assert "Ctrl-D" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ("plan",),
        ("retire", "--unnamed", "--dry-run"),
        ("wordpress-move", "--dry-run"),
        ("doctor", "--only", "placements"),
        ("status",),
    ],
)
def test_every_command_finds_the_placements_of_this_folder_and_then_of_the_dags_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A mistake in the file is shown by each; where there is none, both places and the variable are named."""
    here, dags = tmp_path / "here", tmp_path / "dags"
    for folder in (here, dags):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("PME_PLACEMENTS", raising=False)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
    run("ledger", "migrate")
    missing = run(*command).output
    assert all(str(place) in missing for place in (here, dags, "PME_PLACEMENTS")), missing
    (dags / "placements.yaml").write_text("of_dags: 1\n")
    assert "of_dags" in run(*command).output
    (here / "placements.yaml").write_text("of_here: 1\n")
    assert "of_here" in run(*command).output


def test_a_missing_connection_says_how_to_define_it(run: Run) -> None:
    done = run("ledger", "list", "--conn-id", "pme_other")
    assert done.exit_code == 2
    assert "AIRFLOW_CONN_PME_OTHER" in done.stderr


def test_a_connection_of_another_type_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "http://user:s3cret-s3cret@host")
    for command in (("ledger", "list"), ("sweep",), ("ledger", "flag", "--audience", "a"), ("ledger", "reseal")):
        done = run(*command, "--conn-id", "other")
        assert done.exit_code == 2
        assert "is of type http, not pme" in done.stderr
        assert "s3cret" not in done.output
