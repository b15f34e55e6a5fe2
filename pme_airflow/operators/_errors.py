"""The edge to Airflow: our errors as Airflow's, so that no retry is wasted on what a person must mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.errors import PMEError

__all__ = ["airflow_errors", "push_result"]


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn permanent errors into ``AirflowFailException`` and passing ones into ``AirflowException``.

    Raised outside of the handler, so that no traceback carries the original's frames.
    """
    problem: AirflowException | None = None
    try:
        yield
    except PMEError as error:
        kind = AirflowFailException if error.permanent else AirflowException
        problem = kind(f"{type(error).__name__}: {error}")
    if problem is not None:
        raise problem


def push_result(context: Mapping[str, Any], value: Any, key: str = "return_value") -> None:
    """Push a task's result although it is about to fail, so that what went well is handed on; or push one aside."""
    ti = context.get("ti")
    if ti is not None:
        ti.xcom_push(key=key, value=value)
