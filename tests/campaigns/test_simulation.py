"""No slot goes dark through any single outage of up to 11 h; beyond that as long as is predicted, and warned of."""

from __future__ import annotations

import pytest

from tests.support.scale import scaled
from tests.support.simulation import Simulation

DAYS, MODELS = scaled((3, 8), (14, 67))


@pytest.mark.timeout(scaled(200, 1200))
@pytest.mark.parametrize("models_per_token", [1, 5])
@pytest.mark.parametrize("seed", range(1, scaled(3, 21)))
def test_a_fortnight_of_outages_up_to_eleven_hours_leaves_nothing_dark(seed: int, models_per_token: int) -> None:
    report = Simulation(seed, days=DAYS, models=MODELS, models_per_token=models_per_token).run()
    assert report.outages
    assert report.dark == []
    assert report.unknown == 0
    assert report.mints_per_slot_and_day < 1.5


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, scaled(3, 11)))
def test_longer_outages_darken_what_is_predicted(seed: int) -> None:
    report = Simulation(seed, days=4, models=6, longest=26 * 3600).run()
    assert report.dark_seconds > 0
    assert report.dark_seconds == pytest.approx(report.predicted, rel=0.001)  # the healing run takes some seconds too
    ahead = [report.warned_ahead(*dark) for dark in report.dark_links]
    assert all(length is not None and length >= 3600 for length in ahead), ahead


@pytest.mark.timeout(scaled(200, 3600))
def test_a_quiet_time_warns_of_nothing() -> None:
    report = Simulation(1, days=scaled(8, 365), models=2, targets=2, longest=0).run()
    assert (report.outages, report.dark, report.warnings) == ([], [], [])
    assert report.minted
