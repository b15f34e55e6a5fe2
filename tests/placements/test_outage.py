"""What a placement's schedule survives, and by how much."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest

from pme_airflow.placements import check, plan
from pme_airflow.placements.outage import LONGEST_RUN
from pme_airflow.placements.placement import Placement
from tests.placements.test_parsing import GOOD, changed

TODAY = date(2026, 1, 1)


def placement(**keys: object) -> Placement:
    (read,) = check(changed(**keys))
    return read


def test_the_shipped_schedule_survives_eleven_hours_with_clocks_off() -> None:
    outcome = plan(check(GOOD)[0])
    assert outcome.survives == timedelta(hours=11)
    assert not outcome.leaves_gap
    assert "survive an outage of 11 h:" in outcome.in_words()


@pytest.mark.parametrize(
    ("zone", "dark"),
    [("UTC", "1 min"), ("Asia/Tokyo", "1 min"), ("Europe/Berlin", "1 h 1 min"), ("Australia/Lord_Howe", "31 min")],
)
def test_a_nightly_run_alone_leaves_a_gap_of_the_longest_night(zone: str, dark: str) -> None:
    outcome = plan(placement(keep_every=False, allow_gaps=True, timezone=zone), today=TODAY)
    assert outcome.leaves_gap
    assert f"dark for up to {dark} between" in outcome.in_words()
    assert ("clocks go back" in outcome.rule) == (dark != "1 min")
    assert "keep_every" in outcome.cure


def test_a_keeper_too_slow_for_the_links_is_refused_with_a_cure() -> None:
    from pme_airflow.errors import PMEInputError

    with pytest.raises(PMEInputError, match="Set keep_every to 1 min 40 s or less"):
        check(changed(valid_for="10m"))
    assert plan(placement(valid_for="10m", keep_every="1m")).survives == timedelta(minutes=3)


@pytest.mark.parametrize(
    ("valid_for", "renew_before", "keep_every"),
    [("24h", "12h", "30m"), ("24h", "18h", "30m"), ("24h", "12h", "7m"), ("2h", "1h", "10m"), ("10m", "5m", "1m")],
)
def test_the_longest_outage_is_survived_whenever_it_begins_and_a_longer_one_is_not(
    valid_for: str, renew_before: str, keep_every: str
) -> None:
    read = placement(valid_for=valid_for, renew_before=renew_before, keep_every=keep_every)
    assert read.keep_every is not None
    survives, every = plan(read).survives.total_seconds(), read.keep_every.total_seconds()
    margin = read.renew_before.total_seconds()

    def left(begin: float, length: float) -> float:
        """What is left of a link at the first run after an outage, if a run at 0 found just its margin left."""
        runs = (every * number for number in itertools.count(1))
        return margin - next(at for at in runs if not begin <= at < begin + length)

    phases = [every * tenth / 10 + 0.001 for tenth in range(10)] + [every - 0.001]
    assert min(left(begin, survives) for begin in phases) >= LONGEST_RUN.total_seconds()
    assert min(left(begin, survives + 1) for begin in phases) < LONGEST_RUN.total_seconds()


def test_a_schedule_without_room_to_spare_leaves_no_gap() -> None:
    outcome = plan(placement(valid_for="10m", renew_before="5m", keep_every="4m"))
    assert outcome.survives == timedelta(0)
    assert not outcome.leaves_gap
    assert "survive an outage of 0 s" in outcome.in_words()


def test_the_plan_reckons_with_what_the_api_gives() -> None:
    outcome = plan(check(GOOD)[0], given_validity=timedelta(hours=2))
    assert outcome.survives == timedelta(0), "a run that an outage of a minute hinders is followed by one at the end"
    assert "a link of 2 h (the API gives no more of the 24 h requested) is due with 1 h left" in outcome.rule
    shorter = plan(check(GOOD)[0], given_validity=timedelta(hours=1))
    assert shorter.leaves_gap
    assert "Set keep_every to 10 min or less" in shorter.cure
    nightly = plan(placement(keep_every=False, allow_gaps=True), timedelta(hours=1), TODAY)
    assert nightly.survives == timedelta(hours=-23, minutes=-1)
    assert "the API gives no more" in nightly.rule


def test_more_than_was_requested_changes_nothing() -> None:
    (read,) = check(GOOD)
    assert plan(read, given_validity=timedelta(hours=30)) == plan(read)


def test_a_very_short_life_has_a_cure_of_ten_seconds_at_least() -> None:
    outcome = plan(placement(valid_for="30s", renew_before="15s", keep_every="1h", allow_gaps=True))
    assert "keep_every to 10 s or less" in outcome.cure
