"""Runs scenarios with a strike at each boundary, reruns them, and checks the promises."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pme_airflow.errors import PMEError
from pme_airflow.ledger.migrations import known_revisions
from pme_airflow.ledger.tables import HEAD_REVISION
from tests.support.crashes import promises, scenarios
from tests.support.crashes.broken import Broken
from tests.support.crashes.scenarios import SCENARIOS, Scenario
from tests.support.crashes.seam import KILLED, Strike
from tests.support.crashes.stage import ALL_WELL, BROKE, NOT_ALL_WELL, Setting, Snapshot, Stage
from tests.support.crashes.turns import Turns

SETTINGS = (
    Setting(),
    Setting(elsewhere=True),
    Setting(batch=1),
    Setting(batch=1, at_once=3),
    Setting(batch=1, at_once=3, elsewhere=True),
    Setting(batch=2, at_once=2),
)


NIGHTLY = SCENARIOS[0]
#: How often a scenario runs again, at most; two runs are enough but where a link waits for its next attempt.
_RERUNS = 4


#: How long a rerun takes at most, in virtual seconds: a claim of 45 s, a sweep's patience of 60 s, and some.
_LONGEST_RERUN = 300.0


@dataclass(frozen=True)
class Point:
    """One strike."""

    scenario: Scenario
    setting: Setting
    strike: Strike
    number: int
    boundary: str

    def __str__(self) -> str:
        return f"{self.scenario.name}, {self.setting}, {self.strike.value} at {self.number} ({self.boundary})"


class Campaign:
    """Strikes at the boundaries of scenarios on one database.

    :param address: an empty database.
    :param folder: an empty folder.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.stage = Stage(address, folder)
        #: The kind of database, as the tests name it.
        self.kind = self.stage.kind
        self._starts: dict[str, Snapshot] = {}
        self._base: Snapshot | None = None
        self._passed: dict[tuple[str, Setting, Strike], Sequence[str]] = {}
        self._turns = Turns()

    def start(self, scenario: Scenario) -> None:
        """Bring the stage to where a scenario begins."""
        self.stage.truth.denials = 0
        if scenario.name not in self._starts:
            self.stage.setting = Setting()
            if self._base is None:
                scenarios.build(self.stage)
                self._base = self.stage.snapshot()
            self.stage.restore(self._base)
            self.stage.seal_keys = ()
            scenario.prepare(self.stage)
            self.stage.truth.denials = 0
            self._starts[scenario.name] = self.stage.snapshot()
        self.stage.seal_keys = ()
        self.stage.restore(self._starts[scenario.name])

    def points(self, scenario: Scenario, setting: Setting, strike: Strike) -> list[Point]:
        """Return the points of a scenario: one for each boundary it passes."""
        if (scenario.name, setting, strike) not in self._passed:
            self.start(scenario)
            self.stage.setting = setting
            self._passed[scenario.name, setting, strike] = self.stage.boundaries(scenario.work, strike)
        passed = self._passed[scenario.name, setting, strike]
        return [Point(scenario, setting, strike, number, words) for number, words in enumerate(passed, start=1)]

    def strike(self, point: Point) -> str:
        """Strike once, run again, and check; return how the struck process ended.

        :raises AssertionError: where a promise does not hold; it names the point.
        """
        try:
            return self._strike(point)
        except AssertionError as error:
            raise AssertionError(f"{point}: {error}") from error

    def _strike(self, point: Point) -> str:
        stage, scenario = self.stage, point.scenario
        self.start(scenario)
        stage.setting = Setting()
        was = promises.before(stage)
        stage.setting = point.setting
        status = stage.ended(stage.fork(scenario.work, point.number, point.strike))
        assert status != BROKE, stage.traceback()
        assert status in ((KILLED, ALL_WELL) if point.strike is Strike.KILL else (ALL_WELL, NOT_ALL_WELL)), status
        promises.check_now(stage, was, leaked=scenario.leaked, clears=scenario.clears)
        if status == ALL_WELL:
            scenario.goal(stage, was)
        self._rerun(scenario, was)
        return {KILLED: "killed", ALL_WELL: "went well all the same", NOT_ALL_WELL: "failed"}[status]

    def _rerun(self, scenario: Scenario, was: promises.Before) -> None:
        stage = self.stage
        stage.setting = Setting()
        for _ in range(_RERUNS - 1):
            started = stage.clock.monotonic()
            good = self._goes_well(scenario, was)
            assert stage.clock.monotonic() - started < _LONGEST_RERUN, (
                "a rerun waited for what a dead process had claimed"
            )
            if good:
                break
            stage.clock.advance(scenario.patience)
        else:
            assert scenario.work(stage) or promises.unconfirmed(stage), "a plain rerun does not go well"
        promises.check_now(stage, was, leaked=scenario.leaked, clears=scenario.clears)
        scenario.goal(stage, was)
        promises.check_minted_once(stage, was)
        promises.check_publications(stage)
        promises.check_later(stage)
        promises.check_the_end(stage)

    def _goes_well(self, scenario: Scenario, was: promises.Before) -> bool:
        if not scenario.work(self.stage):
            return False
        try:
            scenario.goal(self.stage, was)
        except AssertionError:
            return not scenario.patience
        return True

    def sample(
        self, count: int, strikes: Sequence[Strike], seed: int, settings: Sequence[Setting] = SETTINGS
    ) -> Iterator[Point]:
        """Yield points of all scenarios in some settings, chosen by a seed, those of one scenario one after the other.

        :param count: how many, at most.
        """
        chance = random.Random(seed)
        plans = [(scenario, setting, strike) for setting in settings for scenario in SCENARIOS for strike in strikes]
        wanted = Counter(chance.choices(range(len(plans)), self._weights(plans), k=count))
        for index, number in sorted(wanted.items(), key=lambda entry: plans[entry[0]][0].name):
            points = self.points(*plans[index])
            yield from points if number >= len(points) else chance.sample(points, number)

    def _weights(self, plans: Sequence[tuple[Scenario, Setting, Strike]]) -> list[int]:
        """Return how many points each plan has, as far as the first setting shows."""
        return [len(self.points(scenario, plans[0][1], strike)) for scenario, _, strike in plans]

    # -------------------------------------------------------- two runs at once

    def strike_two(self, number: int, seed: int, stuck: float = 120.0) -> None:
        """Let two attempts of one night overlap, kill one of them at a boundary, run again, and check.

        :param number: the boundary; 0 kills neither. The seed says which of the two, and when they take turns.
        :param stuck: the real seconds after which they count as stuck.
        :raises AssertionError: where a promise does not hold.
        """
        stage, scenario = self.stage, NIGHTLY
        self.start(scenario)
        was = promises.before(stage)
        stage.setting = SETTINGS[seed % len(SETTINGS)]
        self._turns.begin()
        pids = [self._start_one(me, number if me == seed % 2 else 0, seed) for me in (0, 1)]
        for me, status in self._both_ended(pids, stuck).items():
            assert status in (KILLED, ALL_WELL), f"run {me} ended with {status}: {stage.traceback()}"
        promises.check_now(stage, was, leaked=False)
        self._rerun(scenario, was)

    def _start_one(self, me: int, number: int, seed: int) -> int:
        def work(stage: Stage) -> bool:
            stage.seam.on_pause = self._turns.pause_of(me, 2 * seed + me)
            stage.clock.on_sleep = self._turns.sleep_of(me)
            return NIGHTLY.work(stage)

        return self.stage.fork(work, number, Strike.KILL)

    def _both_ended(self, pids: list[int], stuck: float) -> dict[int, int]:
        """Wait for both; the turn of one that was killed is the other's."""
        ended: dict[int, int] = {}
        until = time.monotonic() + stuck
        while len(ended) < 2:
            for me, pid in enumerate(pids):
                if me not in ended and (done := os.waitpid(pid, os.WNOHANG))[0]:
                    ended[me] = os.waitstatus_to_exitcode(done[1])
                    self._turns.leave(me)
            if time.monotonic() > until:
                for me in {0, 1} - set(ended):
                    os.kill(pids[me], signal.SIGKILL)
                    os.waitpid(pids[me], 0)
                raise AssertionError("two runs at once are stuck")
            time.sleep(0.0005)
        return ended

    # ------------------------------------------------------------ broken rules

    def exposes(self, broken: Broken) -> str | None:
        """Return what a strike finds while a rule is broken; ``None`` where no strike exposes it."""
        strikes = self._strikes_against(broken)
        with broken.breaks():
            try:
                for strike in strikes:
                    strike()
            except (AssertionError, PMEError, SQLAlchemyError) as error:
                return f"{type(error).__name__}: {error}"
        return None

    def _strikes_against(self, broken: Broken) -> list[Callable[[], object]]:
        if broken.scenario == "migration":
            count = self.migration_points("0002", Strike.KILL)
            return [partial(self.strike_migration, "0002", n, Strike.KILL) for n in range(7, count, 7)]
        if broken.scenario == "two runs":
            self.start(NIGHTLY)
            return [partial(self.strike_two, 2 * seed, seed, 20.0) for seed in range(40)]
        scenario = next(scenario for scenario in SCENARIOS if scenario.name == broken.scenario)
        setting = Setting(elsewhere=broken.elsewhere)
        points = [point for strike in broken.strikes for point in self.points(scenario, setting, strike)]
        return [partial(self.strike, point) for point in points if point.boundary.startswith(broken.boundary)]

    # ------------------------------------------------------------ migrations

    def migration_points(self, revision: str, strike: Strike) -> int:
        """Return how many boundaries a migration from a version passes, each statement among them."""
        self._begin_migration(revision)
        return len(self.stage.boundaries(scenarios.migrated, strike, statements=True))

    def strike_migration(self, revision: str, number: int, strike: Strike) -> None:
        """Strike a migration once, migrate again, and check that the tables and rows are whole.

        :raises AssertionError: where they are not.
        """
        stage = self.stage
        self._begin_migration(revision)
        status = stage.ended(stage.fork(scenarios.migrated, number, strike, statements=True))
        assert status != BROKE, stage.traceback()
        assert scenarios.migrated(stage)
        scenarios.the_tables_are_of_this_version(stage, revision)

    def _begin_migration(self, revision: str) -> None:
        self.stage.close()
        self.stage.setting = Setting()
        scenarios.at_revision(self.stage.address, revision, self.stage)


def earlier_revisions() -> list[str]:
    """Return every version before this one."""
    return sorted(known_revisions() - {HEAD_REVISION})
