"""Turning this package's errors into Airflow's, so that no retry is wasted on what a person must mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.errors import PMEError

__all__ = ["airflow_errors", "push_result"]


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn permanent errors into ``AirflowFailException``, and others into ``AirflowException``.

    The original is not shown with it: its frames belong to this package and help nobody.
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
