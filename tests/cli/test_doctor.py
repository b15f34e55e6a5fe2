"""`pme-airflow doctor` prints a line a check with its cure, or JSON alone, and ends with 0, 1 or 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from tests.cli.conftest import Run, Shell
from tests.conftest import SECRET


def test_good_connection_ends_with_zero(run: Run) -> None:
    done = run("doctor", "--only", "connection", "--only", "ledger")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("connection\n  good      host ")
    assert " bad " not in done.stdout
    assert done.stdout.endswith(" good, 0 doubtful, 0 bad.\n")


def test_doubtful_set_up_ends_with_one(run: Run, world: World) -> None:
    world.move_clock(120)
    done = run("doctor", "--only", "connection", "--format", "json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["exit_status"] == 1
    (doubtful,) = (check for check in found["checks"] if check["verdict"] == "doubtful")
    assert (doubtful["section"], doubtful["check"]) == ("connection", "clock")
    assert "NTP" in doubtful["cure"]


def test_connection_that_is_not_defined_is_a_result(run: Run) -> None:
    done = run("doctor", "--conn-id", "nowhere", "--only", "connection", "--format", "json")
    assert done.exit_code == 2
    (check,) = json.loads(done.stdout)["checks"]
    assert "AIRFLOW_CONN_NOWHERE" in check["finding"] + check["cure"]


@pytest.mark.parametrize("form", ["json", "table"])
def test_whole_examination_in_a_shell(shell: Shell, world: World, tmp_path: Path, form: str) -> None:
    world.licensed = False
    (tmp_path / "placements.yaml").write_text("modles: []\n")
    done = shell(f"pme doctor --format {form}", PME_PLACEMENTS=str(tmp_path / "placements.yaml"), COLUMNS="80")
    assert done.returncode == 2
    assert "may not use Private Model Embed" in done.stdout
    assert "modles: is unknown" in done.stdout
    assert "Airflow's database cannot be asked" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    if form == "json":
        assert {check["section"] for check in json.loads(done.stdout)["checks"]} >= {"connection", "airflow"}
    assert not list((tmp_path / "home").rglob("*.db"))
