"""A kill or a failure at each boundary of a run, a plain rerun, and the promises. ``make crashes`` runs all of them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.crashes.__main__ import MEMORY
from tests.support.crashes.broken import BROKEN
from tests.support.crashes.campaign import SETTINGS, Campaign, earlier_revisions
from tests.support.crashes.seam import Strike
from tests.support.databases import available, fresh
from tests.support.scale import scaled

#: Points of each database in the short form: 200 together.
POINTS = {"sqlite": 100, "postgresql": 40, "mariadb": 30}
TWO_RUNS, MIGRATIONS = 4, 1
#: Those that are exposed within a second or two; the others are tried in the full campaign.
QUICK = [
    "a retry mints anew",
    "the row is recorded with the answer",
    "the old link is retired before the new one is shown",
    "a revocation is recorded before it is sent",
    "a killed sweep keeps its links for a day",
    "a file is deleted before its new version is there",
]


@pytest.fixture(scope="module", params=list(POINTS))
def campaign(request: pytest.FixtureRequest, servers: Callable[[str], str]) -> Iterator[Campaign]:
    """A campaign on one database."""
    missing = available(request.param)
    if missing:
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="pme-crash-", dir=MEMORY) as folder:
        sqlite = request.param == "sqlite"
        address = f"sqlite:///{folder}/ledger.db" if sqlite else fresh(servers(request.param))
        made = Campaign(address, Path(folder))
        made.kind = request.param
        logging.disable(logging.CRITICAL)
        with made.stage.playing():
            yield made
        logging.disable(logging.NOTSET)
        made.stage.close()


def test_every_promise_holds_after_a_kill_or_a_failure_at_a_boundary_and_a_plain_rerun(campaign: Campaign) -> None:
    setting = SETTINGS[1 + 2 * list(POINTS).index(campaign.kind)]
    ended = [campaign.strike(point) for point in campaign.sample(POINTS[campaign.kind], list(Strike), 1, [setting])]
    assert {"killed", "failed"} <= set(ended)


def test_of_two_runs_at_once_one_may_be_killed_anywhere(campaign: Campaign) -> None:
    for seed in range(TWO_RUNS):
        campaign.strike_two(11 + 17 * seed, seed)


def test_a_migration_may_be_killed_anywhere(campaign: Campaign, servers: Callable[[str], str], tmp_path: Path) -> None:
    sqlite = campaign.kind == "sqlite"
    migrating = Campaign(f"sqlite:///{tmp_path}/migrated.db" if sqlite else fresh(servers(campaign.kind)), tmp_path)
    for revision in earlier_revisions()[:: scaled(3, 1)]:
        points = migrating.migration_points(revision, Strike.KILL)
        for number in range(points // 2, points, max(1, points // (2 * MIGRATIONS))):
            migrating.strike_migration(revision, number, Strike.KILL)
    migrating.stage.close()


@pytest.mark.timeout(scaled(300, 1200))
@pytest.mark.parametrize("rule", scaled(QUICK, list(BROKEN)))
def test_a_broken_copy_of_a_rule_is_exposed(campaign: Campaign, rule: str) -> None:
    broken = BROKEN[rule]
    if (broken.scenario == "migration") != (campaign.kind == "mariadb") or campaign.kind == "postgresql":
        pytest.skip("exposed on another database")
    assert campaign.exposes(broken) is not None
