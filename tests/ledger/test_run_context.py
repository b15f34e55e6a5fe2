"""Who writes: tasks are compared by the ids that name them, whatever their length and whatever is in them."""

from __future__ import annotations

import pytest

from pme_airflow.ledger.run_context import RunContext, TaskInstanceKey

TASK = RunContext.of_task("dag", "run", "mint", 3)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (("dag", "run", "mint", 3), True),
        (("dag", "run", "mint", 4), True),
        (("dag", "run", "mint"), True),
        (("dag", "run", "publish", 3), False),
        (("dag", "other", "mint", 3), False),
        (("other", "run", "mint", 3), False),
        (("dag/run", "mint", "", 3), False),
        (("dag", "run/mint", "", 3), False),
    ],
)
def test_a_task_is_the_same_whichever_its_map_index(other: tuple[str, str, str, int], same: bool) -> None:
    assert TASK.is_same_task(RunContext.of_task(*other).task_key) is same


@pytest.mark.parametrize("length", [230, 250, 1000])
def test_long_ids_make_no_two_tasks_equal(length: int) -> None:
    """A run of more than 700 characters was cut there, with the task and the map index behind it."""
    dag, run = "d" * length, "r" * length
    mint, publish = (RunContext.of_task(dag, run, f"{'t' * length}{name}", 7) for name in ("mint", "publish"))
    assert not mint.is_same_task(publish.task_key)
    assert mint.run != publish.run
    assert mint.task is not None
    assert mint.task.map_index == 7
    assert len(mint.task_key) == 64


def test_a_link_without_a_task_is_nobodys() -> None:
    assert not TASK.is_same_task(None)
    assert not RunContext.of_command("sweep").is_same_task(None)


def test_each_call_of_a_command_is_a_run_of_its_own() -> None:
    one, two = RunContext.of_command("sweep"), RunContext.of_command("sweep")
    assert one.run != two.run
    assert one.run.startswith("cli/")
    assert "/sweep/" in one.run
    assert one.is_same_task(one.task_key)
    assert not one.is_same_task(two.task_key)
    assert (one.publisher, one.lister) == (None, None)


def test_each_attempt_claims_under_a_name_of_its_own() -> None:
    again = RunContext.of_task("dag", "run", "mint", 3)
    assert again.run == TASK.run == "dag/run/mint/3"
    assert again.uid != TASK.uid


def test_what_a_dag_publishes_is_its_own() -> None:
    assert TASK.publisher == "dag"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (("dag", "tomorrow", "mint", 3), True),
        (("dag", "run", "mint", 4), False),
        (("dag", "run", "other", 3), False),
        (("other", "run", "mint", 3), False),
    ],
)
def test_a_task_lists_for_itself_in_every_run(other: tuple[str, str, str, int], same: bool) -> None:
    assert (TASK.lister == RunContext.of_task(*other).lister) is same


def test_a_task_that_is_not_mapped_has_no_map_index() -> None:
    plain = RunContext.of_task("dag", "run", "mint")
    assert (plain.run, plain.task) == ("dag/run/mint/-1", TaskInstanceKey("dag", "run", "mint"))
    assert TaskInstanceKey("dag", "run", "mint").map_index == -1


def test_a_command_is_named_for_who_runs_it_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    command = RunContext.of_command("sweep")
    assert command.run == f"cli/ada@host/sweep/{command.uid[:8]}"
    for error in (OSError, KeyError):

        def nobody(error: type[Exception] = error) -> str:
            raise error

        monkeypatch.setattr("getpass.getuser", nobody)
        assert RunContext.of_command("sweep").run.startswith("cli/unknown@host/sweep/")


def test_a_task_key_is_that_of_the_dag_run_and_the_task_and_a_commands_that_of_its_run() -> None:
    other_instance, other_run = (
        RunContext.of_task("dag", "run", "mint", 4),
        RunContext.of_task("dag", "later", "mint", 3),
    )
    assert TASK.task_key == other_instance.task_key != other_run.task_key
    assert TASK.is_same_task(other_instance.task_key)
    assert RunContext("bench").task_key == RunContext("bench").task_key != RunContext("other").task_key
    assert len(TASK.task_key) == 64
