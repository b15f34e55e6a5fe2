"""The names of Airflow that moved between 3.1 and 3.3; the package and the shipped DAGs import them from here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    Stats,
    conf,
)

if TYPE_CHECKING:
    from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, DeltaTriggerTimetable

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AssetOrTimeSchedule",
    "CronTriggerTimetable",
    "DeltaTriggerTimetable",
    "Stats",
    "conf",
]

#: Where Airflow 3.1 has the timetables that later ones have in ``airflow.sdk``.
_TIMETABLES = {
    "AssetOrTimeSchedule": "airflow.timetables.assets",
    "CronTriggerTimetable": "airflow.timetables.trigger",
    "DeltaTriggerTimetable": "airflow.timetables.trigger",
}


def __getattr__(name: str) -> Any:
    """Import a timetable when it is asked for: importing them takes 25 ms, and only a DAG file makes one."""
    if name not in _TIMETABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("airflow.sdk"), name)
    except AttributeError:
        return getattr(import_module(_TIMETABLES[name]), name)
