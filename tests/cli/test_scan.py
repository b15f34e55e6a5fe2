"""A scan from the command line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from pme_airflow.dev.emulator import World
from tests.cli.conftest import Run, listed


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
