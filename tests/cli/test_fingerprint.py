"""Tokens on standard input become fingerprints, and nothing else is printed."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run, Shell
from tests.support.leaked import FINGERPRINT, TOKEN


def test_fingerprints_are_printed_and_raw_tokens_are_not(run: Run) -> None:
    other = "sha256:" + "0" * 64
    done = run("fingerprint", stdin=f"Bearer {TOKEN}\n{TOKEN}\n\n{other}\n")
    assert done.stdout.splitlines() == [FINGERPRINT, other]
    assert done.stderr == ""
    assert done.exit_code == 0


@pytest.mark.parametrize(("stdin", "message"), [("", "is empty"), (f"{TOKEN}\nno token here\n", "1 of 2 lines")])
def test_a_line_without_a_token_ends_with_two(run: Run, stdin: str, message: str) -> None:
    done = run("fingerprint", stdin=stdin)
    assert done.exit_code == 2
    assert message in done.stderr
    assert TOKEN not in done.output


def test_it_needs_no_connection_and_no_ledger(shell: Shell) -> None:
    done = shell(f"echo {TOKEN} | pme fingerprint", AIRFLOW_CONN_PME_DEFAULT="{", AIRFLOW_HOME="/nonexistent")
    assert done.stdout == f"{FINGERPRINT}\n"
    assert done.returncode == 0


@pytest.mark.parametrize("wrap", ["=\n", "=\r\n", "\n", "\r\n", "\n    "])
@pytest.mark.parametrize(
    "before", ["https://my.matterport.com/show?m=x&auth=3DBearer+", "auth=Bearer%20", "Bearer ", ""]
)
def test_a_wrapped_link_is_one_token(run: Run, before: str, wrap: str) -> None:
    for at in (3, 11, 22):
        done = run("fingerprint", stdin=f"{before}{TOKEN[:at]}{wrap}{TOKEN[at:]}\n")
        assert (done.stdout, done.stderr, done.exit_code) == (f"{FINGERPRINT}\n", "", 0)
