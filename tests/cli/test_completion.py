"""A shell completes commands and options."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run, Shell


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_script_is_printed_alone_on_stdout(run: Run, name: str) -> None:
    done = run("completion", name)
    assert done.exit_code == 0
    assert "_PME_AIRFLOW_COMPLETE" in done.stdout
    assert "pme-airflow completion" in done.stderr


def test_bash_completes_commands_and_options(shell: Shell) -> None:
    words = {"COMP_WORDS": "pme-airflow ledger li", "COMP_CWORD": "2", "_PME_AIRFLOW_COMPLETE": "bash_complete"}
    done = shell("pme", **words)
    assert "plain,list" in done.stdout
