"""What a placement's schedule survives, and by how much."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from pme_airflow.placements import check, plan
from pme_airflow.placements.placement import Placement
from tests.placements.test_parsing import GOOD, changed

TODAY = date(2026, 1, 1)


def placement(**keys: object) -> Placement:
    (read,) = check(changed(**keys))
    return read


def test_the_shipped_schedule_survives_eleven_hours_with_clocks_off() -> None:
    outcome = plan(check(GOOD)[0])
    assert outcome.survives == timedelta(hours=11, minutes=29)
    assert outcome.survives >= timedelta(hours=11, minutes=10)
    assert not outcome.leaves_gap
    assert "11 h 29 min" in outcome.in_words()


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


def test_a_schedule_without_room_to_spare_leaves_no_gap() -> None:
    outcome = plan(placement(valid_for="10m", renew_before="5m", keep_every="4m"))
    assert outcome.survives == timedelta(0)
    assert not outcome.leaves_gap
    assert "survive an outage of 0 s" in outcome.in_words()


def test_the_plan_reckons_with_what_the_api_gives() -> None:
    outcome = plan(check(GOOD)[0], given_validity=timedelta(hours=2))
    assert outcome.survives == timedelta(hours=1) - timedelta(minutes=31)
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
