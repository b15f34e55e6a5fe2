"""Standard output carries the result alone, whatever Airflow's log does; log lines cannot be forged."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from pme_airflow.cli.logs import logging_to_stderr, replace_airflow_handlers
from tests.cli.conftest import Shell

LOG = logging.getLogger("pme_airflow.test")


def test_json_stands_alone_on_standard_output(shell: Shell, tokens: list[str]) -> None:
    done = shell("pme --verbose ledger list --format json")
    assert len(json.loads(done.stdout)) == 3
    assert done.returncode == 0
    for command in ("sweep --format json", "plan --format json ./placements.yaml", "scan --format json empty.txt"):
        done = shell(
            "cd $AIRFLOW_HOME; echo '{audience: a, models: [yyHDFKzPzvN], targets: [{kind: slack, channel: c}]}'"
            f" > placements.yaml; touch empty.txt; pme -v {command}"
        )
        assert json.loads(done.stdout) is not None, done.stderr


def test_errors_are_logged_and_what_is_done_only_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(verbose=False):
        LOG.info("done")
        LOG.error("failed")
    assert capsys.readouterr().err == "ERROR failed\n"
    with logging_to_stderr(verbose=True):
        LOG.info("done")
    assert capsys.readouterr().err == "INFO done\n"


def test_a_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(verbose=False):
        LOG.error("model %s", "\x1b[31m x\nINFO forged")
    assert capsys.readouterr().err == "ERROR model \\x1b[31m x\\nINFO forged\n"


def test_what_a_command_prints_itself_is_not_logged_too(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(verbose=True):
        logging.getLogger("pme_airflow.lifecycle.leak_response").error("NOT revoked")
    assert capsys.readouterr().err == ""


def test_a_handler_that_airflow_sets_up_meanwhile_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    with logging_to_stderr(verbose=False):
        root.handlers[:] = [logging.StreamHandler(sys.stdout)]
        root.setLevel(logging.INFO)
        replace_airflow_handlers()
        LOG.info("done")
        LOG.error("failed")
    assert (root.handlers, root.level) == (before, level)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "ERROR failed\n"


def test_without_a_command_handlers_are_left_alone() -> None:
    before = list(logging.getLogger().handlers)
    replace_airflow_handlers()
    assert logging.getLogger().handlers == before
