"""Compute the longest time between two nightly runs at the same local time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from pme_airflow.placements.placement import DEFAULT_TIMEZONE, Placement

__all__ = ["NIGHTLY_HOUR", "longest_night", "nightly_timezone"]

#: The local hour of the nightly run.
NIGHTLY_HOUR = 2
#: A year and a little more, so that both changes of a time zone's clocks are met.
_DAYS = 370


def nightly_timezone(placements: Sequence[Placement]) -> str:
    """Return the time zone of the nightly run; all placements of a file have the same."""
    return placements[0].timezone if placements else DEFAULT_TIMEZONE


@lru_cache(maxsize=64)
def longest_night(zone: str, first: date) -> timedelta:
    """Return the longest time from one nightly run to the next, in the year that begins on a date.

    It is 25 h in most zones whose clocks are put back, and 24 h in a zone without such a change. On the night that has
    no 02:00 Airflow runs at 03:00; on the one that has it twice it runs once.

    :param zone: an IANA time zone.
    """
    local = ZoneInfo(zone)
    runs = [
        datetime.combine(first + timedelta(days=day), time(NIGHTLY_HOUR), local).astimezone(timezone.utc)
        for day in range(_DAYS)
    ]
    nights = [later - earlier for earlier, later in pairwise(runs)]
    return max(nights)
