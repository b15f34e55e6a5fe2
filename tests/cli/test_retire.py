"""What is retired is cleared at its target and revoked, and what is not is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.operators.pme import PMEMintLinksOperator
from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator
from tests.cli.conftest import Run, listed
from tests.conftest import MODELS
from tests.support.tasks import FakeTask

MANY = list(MODELS)


@pytest.fixture
def published(run: Run, tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which three models of ``intranet`` and one of ``broker`` are published, with their placements."""
    folder = tmp_path / "out"
    for audience, models in (("intranet", MANY[:3]), ("broker", MANY[:1])):
        task = FakeTask()
        task.dag_id = "pme_nightly_rotation"
        items = PMEMintLinksOperator(task_id="mint", models=models, audience=audience).execute(task.context())
        transfer = PMEToObjectStorageOperator(
            task_id="publish", links=items, path=f"file://{folder}/{audience}", audience=audience
        )
        transfer.execute(task.context())
    place(tmp_path, folder, MANY[:3])
    monkeypatch.setenv("PME_PLACEMENTS", str(tmp_path / "placements.yaml"))
    return folder


def place(home: Path, folder: Path, models: list[str], more: str = "") -> None:
    """Write the placements of an audience, and none of the other."""
    (home / "placements.yaml").write_text(
        f"audience: intranet\nmodels: [{', '.join(models)}]\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{folder}/intranet'}}\n{more}"
    )


def shown(folder: Path) -> set[str]:
    return {f"{path.parent.parent.name}/{path.parent.name}" for path in folder.glob("*/*/link.json")}


def test_a_model_is_cleared_and_revoked(run: Run, published: Path, world: World, tmp_path: Path) -> None:
    place(tmp_path, published, MANY[1:3])
    done = run("retire", "--model", MANY[0], "--audience", "intranet", "--reason", "sold")
    assert done.exit_code == 0, done.output
    assert shown(published) == {f"intranet/{MANY[1]}", f"intranet/{MANY[2]}", f"broker/{MANY[0]}"}
    assert len(world.alive()) == 3
    (gone,) = (row for row in listed(run) if row["state"] == "revoked")
    assert (gone["model_id"], gone["audience"]) == (MANY[0], "intranet")
    assert "1 slots cleared, 0 dark, 0 not cleared; 1 links retired." in done.stdout
    assert "Slots that match: 1:" in done.stderr
    assert f"The placements are those in {tmp_path / 'placements.yaml'}." in done.stderr
    assert "sold" in run("ledger", "export").stdout


def test_what_is_still_placed_is_named_and_ends_with_one(run: Run, published: Path) -> None:
    done = run("retire", "--model", MANY[0], "--audience", "intranet")
    assert done.exit_code == 1
    assert "is still named by a placement, so the next run publishes it again" in done.stderr


def test_all_of_a_placement_is_retired(run: Run, published: Path, tmp_path: Path) -> None:
    place(tmp_path, published, ["yyHDFKzPzvN"])
    done = run("retire", "--placement", "intranet", "--format", "json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["cleared"]) == 3
    assert shown(published) == {f"broker/{MANY[0]}"}


def test_a_target_that_no_placement_names_goes_dark_and_is_named(run: Run, published: Path, world: World) -> None:
    done = run("retire", "--audience", "broker")
    assert done.exit_code == 1
    assert "Dark: " in done.stderr
    assert f"{published}/broker" in done.stderr
    assert len(world.alive()) == 3


def test_what_no_placement_names_is_retired(run: Run, published: Path, world: World) -> None:
    done = run("retire", "--unnamed")
    assert done.exit_code == 1  # its target is not reached any more
    assert {row["audience"] for row in listed(run) if row["state"] == "revoked"} == {"broker"}
    assert len(world.alive()) == 3


def test_placements_that_name_nothing_clear_nothing(run: Run, published: Path, world: World, tmp_path: Path) -> None:
    (tmp_path / "placements.yaml").write_text("# audience: intranet\n")
    done = run("retire", "--unnamed")
    assert done.exit_code == 2
    assert "nothing was cleared" in done.stderr
    assert str(tmp_path / "placements.yaml") in done.stderr
    assert len(shown(published)) == len(world.alive()) == 4


def test_a_target_that_cannot_be_made_here_refuses_unnamed(
    run: Run, published: Path, world: World, tmp_path: Path
) -> None:
    """Its slots count as what no placement names, and would go dark where the secrets backend is away."""
    place(tmp_path, published, MANY[:3], "  - {kind: http, http_conn_id: away, endpoint: 'x', json: {url: '{link}'}}\n")
    for more in ((), ("--dry-run",), ("--allow-clearing",)):
        done = run("retire", "--unnamed", *more)
        assert done.exit_code == 2
        assert "Target 1 (http) of audience intranet cannot be reached" in done.stderr
        assert "nothing was changed" in done.stderr
    assert len(shown(published)) == len(world.alive()) == 4


def test_a_target_that_was_taken_out_is_cleared_by_the_former_placements(
    run: Run, published: Path, world: World, tmp_path: Path
) -> None:
    former = tmp_path / "former.yaml"
    former.write_text(
        f"audience: broker\nmodels: [{MANY[0]}]\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{published}/broker'}}\n"
    )
    assert "--former-placements" in run("retire", "--unnamed", "--dry-run").stderr
    words = ("retire", "--unnamed", "--former-placements", str(former))
    assert "--former-placements" not in run(*words, "--dry-run").stderr
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert shown(published) == {f"intranet/{model}" for model in MANY[:3]}
    assert len(world.alive()) == 3


def test_an_excluded_model_of_a_query_is_retired_for_good(run: Run, published: Path, tmp_path: Path) -> None:
    text = (tmp_path / "placements.yaml").read_text().replace(f"[{', '.join(MANY[:3])}]", "{query: '*'}")
    (tmp_path / "placements.yaml").write_text(f"{text}exclude: [{MANY[0]}]\n")
    done = run("retire", "--model", MANY[0], "--audience", "intranet")
    assert done.exit_code == 0, done.output
    assert "still named" not in done.stderr


def test_a_dry_run_prints_and_changes_nothing(run: Run, published: Path, world: World) -> None:
    done = run("retire", "--audience", "intranet", "--dry-run", "--format", "json")
    assert done.exit_code == 0
    assert {row["model_id"] for row in json.loads(done.stdout)} == set(MANY[:3])
    assert MANY[0] in run("retire", "--audience", "intranet", "--dry-run").stdout
    assert run("retire", "--audience", "nobody", "--dry-run").stdout == "No slot matches.\n"
    assert len(shown(published)) == len(world.alive()) == 4


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "nothing is named"),
        (("--model", "short"), "is not a model id"),
        (("--audience", "a b"), "audience: give"),
        (("--placement", "intranet", "--audience", "broker"), "--placement and --audience"),
        (("--audience", "intranet", "--placements-file", "/nonexistent"), "cannot be read"),
    ],
)
def test_what_cannot_be_right_is_refused(run: Run, published: Path, words: tuple[str, ...], named: str) -> None:
    done = run("retire", *words)
    assert done.exit_code == 2
    assert named in done.stderr
    assert len(shown(published)) == 4


def test_without_placements_nothing_is_retired(
    run: Run, published: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PME_PLACEMENTS")
    monkeypatch.chdir(tmp_path / "home")
    done = run("retire", "--audience", "intranet")
    assert done.exit_code == 2
    assert "PME_PLACEMENTS" in done.stderr
    assert len(shown(published)) == 4


def test_one_target_that_cannot_be_reached_costs_that_target_alone(
    run: Run, published: Path, tmp_path: Path, world: World
) -> None:
    place(tmp_path, published, ["yyHDFKzPzvN"], "  - {kind: custom, class: nowhere.Class}\n")
    done = run("retire", "--audience", "intranet")
    assert done.exit_code == 0, done.output
    assert "Target 1 (custom) of audience intranet cannot be reached: " in done.stderr
    assert shown(published) == {f"broker/{MANY[0]}"}


def test_an_api_that_is_away_is_named(
    run: Run, published: Path, tmp_path: Path, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from tests.support.home import pme_in_environment

    monkeypatch.setattr("pme_airflow.cli.deadlines.MAX_WAIT", timedelta(seconds=3))
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "host": "http://127.0.0.1:1"})
    place(tmp_path, published, ["yyHDFKzPzvN"])
    done = run("retire", "--placement", "intranet")
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("NOT revoked")]
    assert len(lines) == 3
    for line in lines:
        assert "was not reached: could not connect" in line
        assert "may live until" in line
        assert "`pme-airflow sweep` tries now" in line
    assert shown(published) == {f"broker/{MANY[0]}"}
