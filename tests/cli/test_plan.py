"""The plan of a file of placements, and a sentence where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from tests.cli.conftest import Run
from tests.lifecycle.test_mint_validity import clamp

GOOD = "audience: intranet\nmodels: [yyHDFKzPzvN]\ntargets: [{kind: slack, channel: c}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "placements.yaml"
    path.write_text(GOOD)
    return path


def test_what_a_placement_survives_is_printed(run: Run, file: Path) -> None:
    done = run("plan", str(file))
    assert done.exit_code == 0
    assert done.stdout.startswith("intranet: slots survive an outage of 11 h")
    (plan,) = json.loads(run("plan", str(file), "--format", "json").stdout)
    assert (plan["audience"], set(plan)) == ("intranet", {"audience", "survives_seconds", "rule"})
    assert plan["survives_seconds"] == 11 * 3600


def test_without_a_file_it_is_that_of_the_environment(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert run("plan").stdout.startswith("intranet: ")
    monkeypatch.chdir("/")
    assert run("plan").exit_code == 2
    monkeypatch.setenv("PME_PLACEMENTS", str(file))
    assert run("plan").stdout.startswith("intranet: ")


@pytest.mark.parametrize("path", ["missing.yaml", ".", "binary", "a\x1b[31m\nforged"])
def test_a_file_that_cannot_be_read_is_one_line(run: Run, tmp_path: Path, path: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    done = run("plan", str(tmp_path / path))
    assert done.exit_code == 2
    assert "cannot be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_each_problem_of_placements_is_a_line(run: Run, file: Path) -> None:
    file.write_text("audience: a b\nvalid_for: 25h\nmodels: [short]\ntargets: [{kind: fax}]\nx: 1\n")
    done = run("plan", str(file))
    assert done.exit_code == 2
    assert len([line for line in done.stderr.splitlines() if line.startswith("  - ")]) >= 4


def test_the_plan_counts_links_as_long_as_the_api_gives_them(run: Run, file: Path, world: World) -> None:
    clamp(world, 3600)
    PMEHook().mint(["Model000000"], audience="intranet", valid_for="24h")
    done = run("plan", str(file))
    assert done.exit_code == 0
    assert "the API gives no more of the 24 h requested" in done.stdout
