"""No slot goes dark through any single outage of up to 11 h; beyond that as long as is predicted, and warned of."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pme_airflow.placements import plan
from pme_airflow.placements.outage import LONGEST_RUN
from tests.support.scale import scaled
from tests.support.schedules import nights, shipped_schedules
from tests.support.simulation import Simulation, Size
from tests.support.simulation.outages import Outage
from tests.support.simulation.run import PLACEMENTS

DAYS, MODELS = scaled((3, 8), (14, 67))
HOURS = 3600.0


@pytest.mark.timeout(scaled(200, 1200))
@pytest.mark.parametrize("models_per_token", [1, 5])
@pytest.mark.parametrize("seed", range(1, scaled(3, 21)))
def test_a_fortnight_of_outages_up_to_eleven_hours_leaves_nothing_dark(seed: int, models_per_token: int) -> None:
    report = Simulation(seed, Size(DAYS, MODELS), models_per_token).run()
    assert report.outages
    assert report.dark == []
    assert report.unknown == 0
    assert report.mints_per_slot_and_day < 1.5


@pytest.mark.timeout(scaled(200, 600))
@pytest.mark.parametrize(
    ("seed", "start", "models_per_token"),
    [
        pytest.param(1, datetime(2026, 3, 27, tzinfo=timezone.utc), 1, id="spring-without-a-seal-key"),
        pytest.param(2, datetime(2026, 10, 23, tzinfo=timezone.utc), 5, id="autumn-with-a-seal-key"),
    ],
)
def test_clocks_a_reset_secret_and_another_client_leave_nothing_dark_or_unrevocable(
    seed: int, start: datetime, models_per_token: int
) -> None:
    size = Size(days=5, models=5, longest=None, changes=True)
    report = Simulation(seed, size, models_per_token, start).run()
    assert report.longest == 11 * HOURS
    assert len(report.clock_changes) == 1
    assert report.has_seal_key == (seed == 2)
    assert report.dark == []
    assert (report.unknown, report.unopened) == (0, 0)
    assert report.reset_at is not None
    assert report.resealed is not None
    assert report.former_revoked
    assert report.former_alive == 0
    assert report.left_out > report.runs / 2  # each of them ran, and was checked to write nothing


@pytest.mark.parametrize(("begin", "longer", "in_time"), [(13.01, 0, True), (13.49, 0, True), (13.49, 600, False)])
@pytest.mark.parametrize("what", ["api", "airflow", "database", "target 0"])
def test_at_its_worst_moment_an_outage_as_long_as_planned_leaves_time_to_renew(
    what: str, begin: float, longer: float, in_time: bool
) -> None:
    """At 13:00 the keeper finds half of the life of the nightly run's links left, and is away from its next run on.

    A run that has begun waits for a busy API for some minutes, which the plan does not count on.
    """
    simulation = Simulation(1, Size(days=2, models=4, longest=0.0, skips_idle=True))
    length = plan(simulation.placement).survives.total_seconds() + longer
    simulation.report.outages.append(Outage(what, begin * HOURS, begin * HOURS + length))
    report = simulation.run()
    assert (report.least_left >= LONGEST_RUN.total_seconds()) == in_time, report.least_left
    assert report.dark == [] or not in_time


def test_the_nightly_run_follows_the_clock_of_its_time_zone() -> None:
    """On the night without a 02:00 it runs at 03:00; the night with two is an hour longer."""
    spring, autumn = (_nights(datetime(2026, month, day, tzinfo=timezone.utc)) for month, day in ((3, 28), (10, 24)))
    assert spring == [1.0, 25.0, 48.0]
    assert autumn == [0.0, 24.0 + 1.0, 48.0 + 1.0]


def _nights(start: datetime) -> list[float]:
    return [at / HOURS for at in nights(shipped_schedules(PLACEMENTS), start, 2.2 * 24 * HOURS)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, scaled(3, 11)))
def test_longer_outages_darken_what_is_predicted(seed: int) -> None:
    report = Simulation(seed, Size(days=4, models=6, longest=26 * HOURS)).run()
    assert report.dark_seconds > 0
    assert report.dark_seconds == pytest.approx(report.predicted, rel=0.001)  # the healing run takes some seconds too
    ahead = [report.warned_ahead(*dark) for dark in report.dark_links]
    assert all(length is not None and length >= 3600 for length in ahead), ahead


@pytest.mark.timeout(scaled(200, 3600))
def test_a_quiet_time_warns_of_nothing() -> None:
    report = Simulation(1, Size(days=scaled(8, 365), models=2, targets=2, longest=0.0)).run()
    assert (report.outages, report.dark, report.warnings) == ([], [], [])
    assert report.minted
