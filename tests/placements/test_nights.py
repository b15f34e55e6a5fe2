"""The nights between two nightly runs, as Airflow's own timetable has them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

from pme_airflow.placements import check, nightly_timezone
from pme_airflow.placements.nights import NIGHTLY_HOUR, longest_night
from tests.placements.test_parsing import GOOD, changed

ZONES = ["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe"]
LONGEST = {"UTC": 24.0, "Asia/Tokyo": 24.0, "Australia/Lord_Howe": 24.5}


def nightly_runs(zone: str, nights: int) -> list[datetime]:
    """When Airflow starts the nightly run, in UTC."""
    timetable = CronTriggerTimetable(f"0 {NIGHTLY_HOUR} * * *", timezone=zone)
    restriction = TimeRestriction(earliest=pendulum.datetime(2026, 1, 1), latest=None, catchup=True)
    runs: list[datetime] = []
    last = None
    while len(runs) < nights:
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        assert info is not None
        last = info.data_interval
        runs.append(datetime.fromtimestamp(info.run_after.timestamp(), timezone.utc))
    return runs


@pytest.mark.parametrize("zone", ZONES)
def test_the_longest_night_is_the_longest_that_airflow_leaves(zone: str) -> None:
    longest = longest_night(zone, date(2026, 1, 1))
    assert longest == timedelta(hours=LONGEST.get(zone, 25.0))
    runs = nightly_runs(zone, 370)
    assert max(later - earlier for earlier, later in pairwise(runs)) == longest


@pytest.mark.parametrize("zone", ZONES)
def test_there_is_one_run_a_night_also_where_two_o_clock_is_missing_or_comes_twice(zone: str) -> None:
    local = [run.astimezone(ZoneInfo(zone)) for run in nightly_runs(zone, 370)]
    assert len({moment.date() for moment in local}) == len(local)
    assert {moment.hour for moment in local} <= {NIGHTLY_HOUR, NIGHTLY_HOUR + 1}


def test_the_night_without_two_o_clock_is_short() -> None:
    runs = [run.astimezone(ZoneInfo("Europe/Berlin")) for run in nightly_runs("Europe/Berlin", 100)]
    (skipped,) = [run for run in runs if run.hour != NIGHTLY_HOUR]
    assert (skipped.date(), skipped.hour) == (date(2026, 3, 29), 3)


def test_the_nightly_run_is_in_the_zone_of_the_placements() -> None:
    assert nightly_timezone(check(changed(timezone="Europe/Berlin"))) == "Europe/Berlin"
    assert nightly_timezone(check(GOOD)) == nightly_timezone([]) == "UTC"
