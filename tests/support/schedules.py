"""When the shipped DAGs run, read from their files."""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.placements import Placement, check

__all__ = ["Schedules", "shipped_schedules"]


@dataclass(frozen=True)
class Schedules:
    """Seconds between two runs that time alone starts, and the nightly run's second of the day."""

    keeper: float
    sweep: float
    nightly: float
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
    minute, hour, *days = nightly.expression.split()
    assert days == ["*", "*", "*"], f"the nightly run is not daily: {nightly.expression}"
    at = int(hour) * 3600.0 + int(minute) * 60
    return Schedules(
        keeper.delta.total_seconds(), sweep.delta.total_seconds(), at, check(placements, "placements.yaml")
    )


_NAMES = ("link_keeper", "revocation_sweep", "nightly_rotation")


def _timetable(name: str) -> Any:
    schedule = runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"].schedule
    return getattr(schedule, "timetable", schedule)
