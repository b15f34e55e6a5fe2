"""A sweep from the command line ends with 0 only where no leaked link is alive."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from tests.cli.conftest import Run, listed
from tests.support.home import pme_in_environment


def test_a_sweep_with_nothing_due_ends_with_zero(run: Run, tokens: list[str], world: World) -> None:
    done = run("sweep")
    assert done.exit_code == 0
    assert "Nothing was revoked." in done.stdout
    assert "0 revoked, 0 expired, 0 irrevocable, 0 not opened, 0 still due." in done.stdout
    assert len(world.alive()) == 3


def test_a_flagged_link_is_revoked_and_listed(run: Run, tokens: list[str], world: World) -> None:
    run("ledger", "flag", "--stdin", stdin=tokens[0])
    done = run("sweep", "--verify")
    assert done.exit_code == 0
    (row,) = (row for row in listed(run) if row["state"] == "revoked")
    assert row["fingerprint"] in done.stdout
    assert row["verified"] == "HTTP 401"
    assert {issued.token for issued in world.alive()} == set(tokens[1:])


@pytest.mark.parametrize("words", [(), ("--format", "json")])
def test_a_link_that_is_alive_after_the_sweep_is_named_and_ends_with_one(
    run: Run, tokens: list[str], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    connection: dict[str, Any],
) -> None:  # fmt: skip
    run("ledger", "flag", "--stdin", stdin=tokens[0])
    monkeypatch.setattr("pme_airflow.cli.deadlines.MAX_WAIT", timedelta(seconds=3))
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "host": "http://127.0.0.1:1"})
    done = run("sweep", *words)
    assert done.exit_code == 1
    (row,) = (row for row in listed(run) if row["flagged_at"])
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("NOT revoked"))
    assert row["link_id"] in line
    assert "was not reached" in line
    assert "may live until" in line
    if words:
        assert json.loads(done.stdout)["pending"] == 1


def test_an_irrevocable_link_ends_each_sweep_with_one_until_it_expires(
    run: Run, tokens: list[str], world: World
) -> None:
    run("ledger", "flag", "--stdin", stdin=tokens[0])
    world.set_faults({"lying_false": 1.0})
    first = run("sweep", "--max-attempts", "1", "--format", "json")
    assert first.exit_code == 1
    (row,) = (row for row in listed(run) if row["irrevocable"])
    assert json.loads(first.stdout)["irrevocable"] == [row["link_id"]]
    second = run("sweep", "--max-attempts", "1")
    assert second.exit_code == 1
    assert f"NOT revoked: link {row['link_id']}" in second.stderr
