"""The names of Airflow that moved, on the Airflow that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow import airflow_compat


@pytest.mark.parametrize("name", airflow_compat.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(airflow_compat, name) is not None


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"module 'pme_airflow.airflow_compat' has no attribute 'Cron'"):
        airflow_compat.Cron  # noqa: B018


def test_a_timetable_is_found_where_airflow_3_1_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    timetable = object()
    places: Mapping[str, Any] = {
        "airflow.sdk": SimpleNamespace(),
        "airflow.timetables.trigger": SimpleNamespace(CronTriggerTimetable=timetable),
    }
    monkeypatch.setattr(airflow_compat, "import_module", places.__getitem__)
    assert airflow_compat.CronTriggerTimetable is timetable
