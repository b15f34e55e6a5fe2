"""When the shipped DAGs run, read from their files."""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pendulum
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.placements import Placement, check

__all__ = ["Schedules", "clock_changes", "nights", "shipped_schedules"]


@dataclass(frozen=True)
class Schedules:
    """When time alone starts runs.

    :param keeper: seconds between two runs.
    :param sweep: seconds between two runs.
    :param nightly: the nightly run's cron expression, in its time zone.
    """

    keeper: float
    sweep: float
    nightly: str
    zone: str
    placements: Sequence[Placement]


def shipped_schedules(placements: str) -> Schedules:
    """Return the schedules of the shipped DAGs.

    :param placements: the text of placements.yaml.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "placements.yaml"
        file.write_text(placements)
        with patch.dict(os.environ, PME_PLACEMENTS=str(file)):
            keeper, sweep, nightly = (_timetable(f"pme_{name}") for name in _NAMES)
    return Schedules(
        keeper.delta.total_seconds(),
        sweep.delta.total_seconds(),
        nightly.expression,
        str(nightly.timezone),
        check(placements, "placements.yaml"),
    )


def nights(schedules: Schedules, start: datetime, seconds: float) -> list[float]:
    """Return when the nightly run starts, in seconds after the start, as Airflow's own timetable computes it."""
    timetable = CronTriggerTimetable(schedules.nightly, timezone=schedules.zone)
    restriction = TimeRestriction(pendulum.instance(start), None, True)
    found: list[float] = []
    last: DataInterval | None = None
    while info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction):
        at = (info.run_after - start).total_seconds()
        if at > seconds:
            break
        found.append(at)
        last = info.data_interval
    return found


def clock_changes(zone: str, start: datetime, days: float) -> list[float]:
    """Return when clocks change in a time zone, in seconds after the start and to the hour."""
    local = ZoneInfo(zone)
    hours = [start + timedelta(hours=number) for number in range(int(days * 24) + 1)]
    changed = (b for a, b in pairwise(hours) if a.astimezone(local).utcoffset() != b.astimezone(local).utcoffset())
    return [(at - start).total_seconds() for at in changed]


_NAMES = ("link_keeper", "revocation_sweep", "nightly_rotation")


def _timetable(name: str) -> Any:
    schedule = runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"].schedule
    return getattr(schedule, "timetable", schedule)
