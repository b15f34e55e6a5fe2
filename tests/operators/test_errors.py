"""Errors become Airflow's, and a result is pushed although its task fails."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.errors import (
    LedgerConnectionError,
    LedgerUnavailableError,
    PMEConnectionError,
    PMEInputError,
    PMEUnavailableError,
)
from pme_airflow.operators._errors import airflow_errors, end_task, push_result
from tests.support.tasks import FakeTask


def fails(error: Exception) -> None:
    with airflow_errors():
        raise error


def test_what_a_person_must_mend_is_not_tried_again() -> None:
    with pytest.raises(AirflowFailException, match=r"^PMEInputError: models: none$") as caught:
        fails(PMEInputError("models: none"))
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "error",
    [
        PMEUnavailableError("busy"),
        LedgerUnavailableError("away"),
        PMEConnectionError("The connection one is not defined"),
        LedgerConnectionError("ledger_conn_id: The connection one is not defined"),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    with pytest.raises(AirflowException) as caught:
        fails(error)
    assert type(caught.value) is AirflowException


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        fails(ZeroDivisionError())


def test_a_result_is_pushed_only_where_the_task_fails(task: FakeTask) -> None:
    assert end_task(task.context(), {"a": 1}, None, lambda: None) == {"a": 1}
    assert task.xcoms == {}
    failure = AirflowException("not kept")
    with pytest.raises(AirflowException, match="not kept"):
        end_task(task.context(), {"a": 1}, failure, lambda: None)
    assert task.xcoms == {"return_value": {"a": 1}}


def test_an_error_of_the_report_fails_the_task_after_its_result_is_pushed(task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match="max_exposure"):
        end_task(task.context(), {"a": 1}, None, lambda: fails(PMEInputError("max_exposure: none")))
    assert task.xcoms == {"return_value": {"a": 1}}
    with pytest.raises(AirflowException, match="first"):
        end_task(task.context(), {}, AirflowException("first"), lambda: fails(PMEInputError("second")))


def test_without_a_task_instance_nothing_is_pushed() -> None:
    push_result({}, 1)
    push_result({"ti": None}, 1)
