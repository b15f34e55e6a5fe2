"""The scan operator: a face of the scan that returns findings, and fails where the task should."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.operators.scan import PMEScanOperator
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment
from tests.support.repositories import Repository


class TaskInstance:
    """What the operator needs of a task instance: its names, and a place for XComs."""

    dag_id, run_id, task_id, map_index = "dag", "run", "scan", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> str:
    """The token of the one live link of the connection ``pme_default``."""
    pme_in_environment(monkeypatch, tmp_path / "home", login=world.settings.client_id, password=SECRET, host=address)
    PMEHook().mint([next(iter(MODELS))])
    return world.alive()[0].token


def flagged_reason() -> str | None:
    from pme_airflow.ledger.audit import list_links

    with PMEHook().database.read() as connection:
        return next(iter(list_links(connection))).flag_reason


def test_findings_are_returned_and_logged_without_the_token(
    token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "note.txt").write_text(f"x{token}")
    task_instance = TaskInstance()
    operator = PMEScanOperator(task_id="scan", paths=str(tmp_path / "note.txt"))
    result = operator.execute({"ti": task_instance})
    (finding,) = result["findings"]
    assert (finding["path"], finding["offset"], result["problems"]) == (str(tmp_path / "note.txt"), 1, [])
    assert task_instance.pushed["return_value"] == result
    assert token not in str(result)
    assert flagged_reason() is None


def test_what_is_found_is_flagged_where_asked(token: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(token)
    PMEScanOperator(task_id="scan", paths=[str(tmp_path / "note.txt")], flag=True, reason="weekly").execute({})
    assert flagged_reason() == "weekly"


def test_a_find_fails_the_task_where_asked_after_its_result_is_in_xcom(token: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(token)
    task_instance = TaskInstance()
    operator = PMEScanOperator(task_id="scan", paths=[str(tmp_path / "note.txt")], fail_on_find=True)
    with pytest.raises(AirflowFailException, match="1 live links were found"):
        operator.execute({"ti": task_instance})
    assert len(task_instance.pushed["return_value"]["findings"]) == 1


def test_a_clean_scan_passes_where_a_find_would_fail(token: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("clean")
    operator = PMEScanOperator(task_id="scan", paths=[str(tmp_path / "note.txt")], fail_on_find=True)
    assert operator.execute({}) == {"findings": [], "problems": []}


def test_an_unread_part_fails_the_task_for_a_retry_after_its_result_is_in_xcom(token: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(token)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 broken")
    task_instance = TaskInstance()
    operator = PMEScanOperator(task_id="scan", paths=[str(tmp_path / "a.txt"), str(tmp_path / "b.zip")])
    with pytest.raises(AirflowException, match="1 parts were not read") as raised:
        operator.execute({"ti": task_instance})
    assert not isinstance(raised.value, AirflowFailException)
    assert len(task_instance.pushed["return_value"]["findings"]) == 1


def test_no_path_and_a_path_with_nothing_there_fail_for_good(token: str, tmp_path: Path) -> None:
    for paths in ([], [str(tmp_path / "nowhere")]):
        with pytest.raises(AirflowFailException):
            PMEScanOperator(task_id="scan", paths=paths).execute({})


def test_one_bad_path_costs_that_path_alone(token: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(token)
    task_instance = TaskInstance()
    paths = [str(tmp_path / "nowhere"), str(tmp_path / "a.txt")]
    with pytest.raises(AirflowFailException, match="nowhere: does not exist"):
        PMEScanOperator(task_id="scan", paths=paths, flag=True).execute({"ti": task_instance})
    assert len(task_instance.pushed["return_value"]["findings"]) == 1
    assert flagged_reason() == "found by a scan"


def test_a_path_with_a_line_break_is_logged_on_one_line(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a\nforged: line").write_text(token)
    operator = PMEScanOperator(task_id="scan", paths=str(tmp_path / "a\nforged: line"))
    logged: list[str] = []
    monkeypatch.setattr(operator.log, "warning", lambda message, *args: logged.append(message % args))
    operator.execute({})
    (line,) = (line for line in logged if line.startswith("sha256:"))
    assert "\n" not in line


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_history_of_a_repository_is_searched(token: str, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    repository.commit("tour", token)
    repository.commit("tour", "nothing")
    operator = PMEScanOperator(task_id="scan", git=str(repository.path), since="2h")
    result = operator.execute({"ti": TaskInstance()})
    assert [finding["path"].rpartition(":")[2] for finding in result["findings"]] == ["tour"]
