"""The shipped DAGs make tasks of every kind of placement, and none of none."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pme_airflow.dev.playground.home import ROOT

SHELF = {"kind": "object_storage", "path": "/srv/embeds"}
MODEL = "yyHDFKzPzvN"


def dag_of(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parse a shipped DAG file with placements."""
    path = tmp_path / "placements.yaml"
    path.write_text(text)
    monkeypatch.setenv("PME_PLACEMENTS", str(path))
    monkeypatch.delenv("PME_REPORTS", raising=False)
    return runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"]


@pytest.mark.parametrize("name", ["pme_nightly_rotation", "pme_link_keeper"])
def test_without_placements_a_dag_publishes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PME_PLACEMENTS", raising=False)
    assert runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"].tasks == []


@pytest.mark.parametrize("name", ["pme_nightly_rotation", "pme_link_keeper"])
def test_where_nothing_is_to_be_shown_the_transfers_still_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = dag_of(name, yaml.safe_dump({"models": [], "targets": [SHELF]}), tmp_path, monkeypatch)
    transfer = dag.get_task("publish_default_0_object_storage")
    assert (transfer.links, transfer.models) == ([], [])
    assert not any(task.task_id.startswith(("mint", "keep")) for task in dag.tasks)


@pytest.mark.parametrize("name", ["pme_nightly_rotation", "pme_link_keeper"])
def test_audiences_that_look_alike_have_tasks_of_their_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        {"audience": audience, "models": [MODEL], "targets": [{**SHELF, "path": f"/srv/{number}"}]}
        for number, audience in enumerate(("a.b", "a_b", "a-b"))
    ]
    dag = dag_of(name, yaml.safe_dump(entries), tmp_path, monkeypatch)
    assert sum(task.task_id.startswith("publish") for task in dag.tasks) == 3


def test_the_nightly_run_is_at_two_in_the_time_zone_of_the_placements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = yaml.safe_dump({"models": [MODEL], "timezone": "Europe/Berlin", "targets": [SHELF]})
    timetable = dag_of("pme_nightly_rotation", text, tmp_path, monkeypatch).timetable
    assert timetable.expression == "0 2 * * *"
    assert str(timetable.timezone) == "Europe/Berlin"


def test_a_query_s_exclusions_reach_the_mint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = yaml.safe_dump({"models": {"query": "*"}, "exclude": [MODEL], "targets": [SHELF]})
    keeper = dag_of("pme_link_keeper", text, tmp_path, monkeypatch)
    assert keeper.get_task("keep_default").models == {"query": "*", "exclude": [MODEL]}
    nightly = dag_of("pme_nightly_rotation", text, tmp_path, monkeypatch)
    assert nightly.get_task("list_default").models == {"query": "*", "exclude": [MODEL]}
