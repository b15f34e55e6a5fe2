"""Previews change nothing and name the slots that would go dark; many links at once want an answer or --yes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.cli import safety
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.operators.pme import PMEMintLinksOperator
from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator
from tests.cli.conftest import Run, listed
from tests.conftest import MODELS
from tests.support.tasks import FakeTask

MANY = list(MODELS)


@pytest.fixture
def shown(run: Run, tmp_path: Path) -> list[str]:
    """Two models' links, each shown in a slot."""
    task = FakeTask()
    items = PMEMintLinksOperator(task_id="mint", models=MANY[:2], audience="intranet").execute(task.context())
    path = f"file://{tmp_path}/out"
    PMEToObjectStorageOperator(task_id="publish", links=items, path=path, audience="intranet").execute(task.context())
    return MANY[:2]


def test_dry_run_of_a_flag_names_links_and_slots_and_changes_nothing(run: Run, shown: list[str], world: World) -> None:
    done = run("ledger", "flag", "--model", shown[0], "--sweep", "--dry-run", "--format", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [link["model_id"] for link in found["links"]] == [shown[0]]
    assert [slot["slot"] for slot in found["slots_that_go_dark"]] == [shown[0]]
    text = run("ledger", "flag", "--audience", "intranet", "--dry-run").stdout
    assert "2 links would be ended, and 2 slots would go dark" in text
    assert {row["flagged_at"] for row in listed(run)} == {None}
    assert len(world.alive()) == 2
    nothing = run("ledger", "flag", "--audience", "nobody", "--dry-run")
    assert nothing.exit_code == 1
    assert "audience nobody" in nothing.stderr
    assert "No link matches." in nothing.stdout
    assert "No slot would go dark." in nothing.stdout


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize(("words", "status"), [(("--model", MANY[0]), 1), ((), 2)])
def test_dry_run_of_a_flag_names_what_it_could_not_read(
    run: Run, shown: list[str], tmp_path: Path, form: str, words: tuple[str, ...], status: int
) -> None:
    broken = tmp_path / "report.json"
    broken.write_text('{"runs": [')
    done = run("ledger", "flag", "--findings", str(broken), "--within", *words, "--dry-run", "--format", form)
    assert done.exit_code == status
    assert "findings: line 1 is broken or cut off" in done.stderr
    if form == "json":
        assert len(json.loads(done.stdout)["problems"]) == 1


def test_dry_run_of_a_sweep_names_what_is_due(run: Run, shown: list[str], world: World) -> None:
    assert "0 links would be ended" in run("sweep", "--dry-run").stdout
    run("ledger", "flag", "--model", shown[1])
    found = json.loads(run("sweep", "--dry-run", "--format", "json").stdout)
    assert [link["model_id"] for link in found["links"]] == [shown[1]]
    assert [slot["model_id"] for slot in found["slots_that_go_dark"]] == [shown[1]]
    assert len(world.alive()) == 2
    assert run("sweep").exit_code == 0
    assert len(world.alive()) == 1


def test_dry_run_of_a_scan_names_the_slots(run: Run, shown: list[str], world: World, tmp_path: Path) -> None:
    leaked = next(issued.token for issued in world.alive() if issued.model_id == shown[0])
    (tmp_path / "leak.txt").write_text(f"token {leaked}")
    done = run("scan", "--sweep", "--dry-run", str(tmp_path / "leak.txt"))
    assert done.exit_code == 1
    assert "1 links would be flagged, and 1 slots would go dark" in done.stderr
    assert len(world.alive()) == 2


def test_dry_run_of_a_purge_counts_and_deletes_nothing(run: Run, shown: list[str]) -> None:
    done = run("ledger", "purge", "--dry-run")
    assert done.stdout == "Dry run: 0 links would be deleted, and no slot would go dark.\n"


def test_more_than_twenty_links_want_yes(run: Run, world: World) -> None:
    PMEHook().mint(MANY[:21], audience="intranet")
    refused = run("ledger", "flag", "--audience", "intranet", "--sweep")
    assert refused.exit_code == 2
    assert "21 links at once are more than 20" in refused.stderr
    assert "--yes" in refused.stderr
    assert len(world.alive()) == 21
    assert {row["flagged_at"] for row in listed(run)} == {None}
    done = run("ledger", "flag", "--audience", "intranet", "--sweep", "--yes")
    assert done.exit_code == 0, done.output
    assert world.alive() == []


def test_scan_that_finds_many_prints_them_and_flags_none(run: Run, world: World, tmp_path: Path) -> None:
    PMEHook().mint(MANY[:21], audience="intranet")
    (tmp_path / "leak.txt").write_text("\n".join(world.tokens))
    done = run("scan", "--sweep", str(tmp_path / "leak.txt"))
    assert done.exit_code == 1
    assert "--yes" in done.output
    assert len(world.alive()) == 21
    assert run("scan", "--sweep", "--yes", str(tmp_path / "leak.txt")).exit_code == 1
    assert world.alive() == []


@pytest.mark.parametrize("answer", [True, False])
def test_terminal_is_asked(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(safety.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(safety.click, "confirm", lambda *_, **__: answer)
    if answer:
        safety.confirm_many(21, "Flag", yes=False)
        return
    with pytest.raises(PMEInputError):
        safety.confirm_many(21, "Flag", yes=False)


def test_twenty_links_are_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety.click, "confirm", lambda *_, **__: pytest.fail("asked"))
    safety.confirm_many(20, "Flag", yes=False)
    safety.confirm_many(10_000, "Flag", yes=True)
    with pytest.raises(PMEInputError):
        safety.confirm_many(21, "Flag", yes=False, may_ask=False)
