"""The tasks that the shipped DAGs make of placements."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import AssetAny

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.errors import PMEInputError

SHELF = {"kind": "object_storage", "path": "/srv/embeds"}
MODEL = "yyHDFKzPzvN"


def dag_of(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parse a shipped DAG file with placements."""
    path = tmp_path / "placements.yaml"
    path.write_text(text)
    monkeypatch.setenv("PME_PLACEMENTS", str(path))
    monkeypatch.delenv("PME_REPORTS", raising=False)
    return runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"]


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("pme_nightly_rotation", []),
        ("pme_link_keeper", []),
        ("pme_revocation_sweep", ["end", "sweep_pme_default", "watch_pme_default"]),
        ("pme_leak_response", ["respond_pme_default"]),
    ],
)
def test_without_placements_nothing_is_published_and_leaks_are_still_answered(
    name: str, tasks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PME_PLACEMENTS", raising=False)
    monkeypatch.delenv("PME_REPORTS", raising=False)
    dag = runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"]
    assert [task.task_id for task in dag.tasks] == tasks


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


@pytest.mark.parametrize(("keys", "most"), [({}, 1), ({"token": "shared", "models_per_token": 5}, 5)])
def test_shared_tokens_reach_the_mint(
    keys: dict[str, Any], most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = yaml.safe_dump({"models": {"query": "*"}, "targets": [SHELF], **keys})
    for name, task in (("pme_link_keeper", "keep_default"), ("pme_nightly_rotation", "mint_default")):
        assert dag_of(name, text, tmp_path, monkeypatch).get_task(task).models_per_token == most


def test_the_keeper_and_the_sweep_wake_for_any_one_of_their_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        {"audience": audience, "models": [MODEL], "targets": [{**SHELF, "path": f"/srv/{audience}"}],
         "pme_conn_id": f"pme_{audience}", "renew_before": "6h"}
        for audience in ("one", "two")
    ]  # fmt: skip
    text = yaml.safe_dump(entries)
    keeper = dag_of("pme_link_keeper", text, tmp_path, monkeypatch).timetable
    woken_by = [f"pme://{kind}/{audience}" for kind in ("revoked", "due/renewal") for audience in ("one", "two")]
    assert isinstance(keeper.asset_condition, AssetAny)
    assert sorted(asset.uri for asset in assets_of(keeper)) == sorted(woken_by)
    sweep = dag_of("pme_revocation_sweep", text, tmp_path, monkeypatch).timetable
    assert isinstance(sweep.asset_condition, AssetAny)
    assert sorted(asset.uri for asset in assets_of(sweep)) == ["pme://due/sweep/pme_one", "pme://due/sweep/pme_two"]
    watched = [watcher.trigger for asset in assets_of(keeper) for watcher in asset.watchers]
    assert [(trigger.due, trigger.pme_conn_id, trigger.audience, trigger.renew_before) for trigger in watched] == [
        ("renewal", "pme_one", "one", 21600.0),
        ("renewal", "pme_two", "two", 21600.0),
    ]


def test_the_response_reads_events_on_the_very_asset_that_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow takes the watchers of an asset from the last place where a file names it."""
    monkeypatch.delenv("PME_PLACEMENTS", raising=False)
    monkeypatch.setenv("PME_REPORTS", str(tmp_path))
    dag = runpy.run_path(str(ROOT / "dags" / "pme_leak_response.py"))["dag"]
    (started_by,) = assets_of(dag.timetable)
    (read,) = dag.get_task("respond_pme_default").inlets
    assert (read.name, read.uri, read.watchers) == (started_by.name, started_by.uri, started_by.watchers)
    assert [watcher.name for watcher in read.watchers] == ["pme_reports"]


def assets_of(timetable: Any) -> list[Any]:
    return list(timetable.asset_condition.objects)


@pytest.mark.parametrize(
    ("text", "conn_ids"),
    [
        ("audience: [1]\npme_conn_id: pme_b\n", ["pme_b"]),
        (
            "- {pme_conn_id: pme_b, targets: 5}\n- {models: x}\n- nonsense\n- {pme_conn_id: 7}\n",
            ["pme_b", "pme_default"],
        ),
        ("audience: 'open\n", ["pme_default"]),
    ],
)
@pytest.mark.parametrize(("name", "task"), [("pme_leak_response", "respond"), ("pme_revocation_sweep", "sweep")])
def test_a_mistake_in_the_placements_stops_neither_the_leak_response_nor_the_sweep(
    name: str, task: str, text: str, conn_ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    dag = dag_of(name, text, tmp_path, monkeypatch)
    assert [found for found in dag.task_ids if found.startswith(task)] == [f"{task}_{name}" for name in conn_ids]
    assert "cannot be used" in caplog.text or "is no YAML" in caplog.text
    with pytest.raises(PMEInputError):
        dag_of("pme_link_keeper", text, tmp_path, monkeypatch)


def test_placements_that_are_missing_stop_neither_the_leak_response_nor_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PME_PLACEMENTS", str(tmp_path / "nowhere.yaml"))
    monkeypatch.delenv("PME_REPORTS", raising=False)
    for name, task in (("pme_leak_response", "respond"), ("pme_revocation_sweep", "sweep")):
        dag = runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"]
        assert [found for found in dag.task_ids if found.startswith(task)] == [f"{task}_pme_default"]


def test_each_sweep_has_a_watch_of_its_own_that_posts_events_and_all_of_them_decide_the_runs_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run's state is then is seen in ``tests/airflow/test_sweep.py``."""
    dag = dag_of("pme_revocation_sweep", "- {pme_conn_id: pme_b}\n- {pme_conn_id: pme_a}\n", tmp_path, monkeypatch)
    for conn_id in ("pme_a", "pme_b"):
        watch = dag.get_task(f"watch_{conn_id}")
        assert watch.upstream_task_ids == {f"sweep_{conn_id}"}
        assert [outlet.name for outlet in watch.outlets] == [f"pme-at-risk-{conn_id}"]
    assert [task.task_id for task in dag.leaves] == ["end"]
    assert dag.get_task("end").upstream_task_ids == set(dag.task_ids) - {"end"}
