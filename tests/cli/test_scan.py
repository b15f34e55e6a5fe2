"""A scan from the command line."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from tests.cli.conftest import Run, listed
from tests.support.repositories import Repository


def test_a_scan_finds_flags_and_revokes(run: Run, tokens: list[str], world: World, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("ticket.txt", f"see https://my.matterport.com/show?m=x&auth=Bearer%20{tokens[1]}")
    assert run("scan", str(tmp_path / "home")).exit_code == 0
    found = run("scan", "--format", "json", str(tmp_path / "export.zip"))
    assert found.exit_code == 1
    (hit,) = json.loads(found.stdout)
    assert set(hit) == {"fingerprint", "link_id", "model_id", "audience", "path", "offset"}
    assert hit["path"].endswith("export.zip!ticket.txt")
    sarif = json.loads(run("scan", "--format", "sarif", str(tmp_path)).stdout)
    assert len(sarif["runs"][0]["results"]) == 1
    assert tokens[1] not in json.dumps(sarif) + found.output
    run("scan", "--flag", str(tmp_path))
    assert [row["flag_reason"] for row in listed(run) if row["flagged_at"]] == ["found by a scan"]
    assert run("scan", "--sweep", str(tmp_path)).exit_code == 1
    assert {issued.token for issued in world.alive()} == {tokens[0], tokens[2]}
    assert run("scan", str(tmp_path / "export.zip")).exit_code == 0


def test_standard_input_is_scanned(run: Run, tokens: list[str]) -> None:
    found = run("scan", "-", "--format", "json", stdin=f"x {tokens[2]}")
    assert [hit["offset"] for hit in json.loads(found.stdout)] == [2]


def test_a_scan_of_nothing_ends_with_two(run: Run, tmp_path: Path) -> None:
    assert run("scan", str(tmp_path / "nowhere")).exit_code == 2


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_history_of_a_repository_is_scanned_as_far_back_as_asked(
    run: Run, tokens: list[str], world: World, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "work")
    commit = repository.commit("tour", f"auth=Bearer+{tokens[0]}")
    repository.commit("tour", "nothing")
    found = run("scan", "--git", str(repository.path), "--format", "json")
    assert found.exit_code == 1
    assert [hit["path"] for hit in json.loads(found.stdout)] == [f"{repository.path}/.git@{commit[:12]}:tour"]
    assert run("scan", str(repository.path)).exit_code == 1
    for since in ("all", "30m"):
        assert run("scan", "--git", str(repository.path), "--since", since).exit_code == 1
    assert run("scan", "--git", str(tmp_path)).exit_code == 2
    wrong = run("scan", "--git", str(repository.path), "--since", "yesterday")
    assert wrong.exit_code == 2
    assert "since: " in wrong.output
    assert run("scan").exit_code == 2
    run("scan", "--git", str(repository.path), "--sweep")
    assert tokens[0] not in {issued.token for issued in world.alive()}
