"""Ending a task: this package's errors as Airflow's, and a result that is pushed although the task fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pme_airflow.airflow_compat import AirflowException, AirflowFailException
from pme_airflow.errors import PMEError

__all__ = ["airflow_errors", "end_task", "push_result"]


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn permanent errors into ``AirflowFailException``, so that no retry is wasted, and others into
    ``AirflowException``.

    The original traceback is not shown with it: its frames are inside this package.
    """
    try:
        yield
    except PMEError as error:
        kind = AirflowFailException if error.permanent else AirflowException
        raise kind(f"{type(error).__name__}: {error}") from None


def push_result(context: Mapping[str, Any], value: Any, key: str = "return_value") -> None:
    """Push an XCom, also the result of a task that is about to fail."""
    ti = context.get("ti")
    if ti is not None:
        ti.xcom_push(key=key, value=value)


def end_task(
    context: Mapping[str, Any],
    result: dict[str, Any],
    failure: AirflowException | None,
    report: Callable[[], None],
) -> dict[str, Any]:
    """Report, and return a task's result; or push the result and fail.

    :param failure: why the task fails; ``None`` if its promise was kept.
    :param report: reports to metrics, assets and alarms; an error of it fails the task too.
    """
    try:
        with airflow_errors():
            report()
    except AirflowException as error:
        failure = failure or error
    if failure is not None:
        push_result(context, result)
        raise failure
    return result
