"""When a watcher starts a run, and how much of the ledger it reads for that."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from pme_airflow.ledger import due, publications
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import DueWork, RenewalDemand
from pme_airflow.ledger.publications import Shown
from pme_airflow.lifecycle.due_watch import Decision, HoldOff, RenewalWatch, SweepWatch, renewal_slack
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, change, ledger_in_memory, mint, task

START = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
NOTHING = DueWork()
DEMAND = RenewalDemand(CLIENT, AUDIENCE, timedelta(hours=12), timedelta(minutes=15))


def work(since: float = 0.0, count: int = 1) -> DueWork:
    return DueWork(count, START + timedelta(seconds=since))


def fires_at(found: DueWork, seconds: range) -> list[int]:
    """The seconds at which a run is started for the same work, found at each look."""
    clock = FakeClock()
    hold_off = HoldOff(clock.monotonic)
    fired = []
    for second in seconds:
        clock.advance(second - clock.monotonic())
        if hold_off.decide(found) is Decision.START:
            fired.append(second)
    return fired


def test_nothing_due_starts_nothing() -> None:
    assert HoldOff().decide(NOTHING) is Decision.WAIT


def test_work_that_no_run_can_help_starts_fewer_and_fewer_runs() -> None:
    assert fires_at(work(), range(3600)) == [0, 20, 60, 140, 300, 620, 1260, 2540]
    day = fires_at(work(), range(86400))
    assert {later - earlier for earlier, later in pairwise(day[8:])} == {1800}


def test_newer_work_starts_a_run_at_once_and_the_wait_begins_anew() -> None:
    clock = FakeClock()
    hold_off = HoldOff(clock.monotonic)
    for second in (0, 20, 60):
        clock.advance(second - clock.monotonic())
        assert hold_off.decide(work()) is Decision.START
    clock.advance(1)
    assert hold_off.decide(work()) is Decision.HOLD_BACK
    assert hold_off.decide(work(since=61)) is Decision.START
    clock.advance(20)
    assert hold_off.decide(work(since=61)) is Decision.START


def test_work_that_was_out_of_sight_for_a_while_is_no_newer() -> None:
    clock = FakeClock()
    hold_off = HoldOff(clock.monotonic)
    assert hold_off.decide(work()) is Decision.START
    clock.advance(10)
    assert hold_off.decide(NOTHING) is Decision.WAIT
    assert hold_off.decide(work()) is Decision.HOLD_BACK
    clock.advance(10)
    assert hold_off.decide(work()) is Decision.START


@pytest.mark.parametrize(
    ("margin", "slack"),
    [
        (timedelta(hours=12), timedelta(minutes=15)),
        (timedelta(hours=1), timedelta(minutes=15)),
        (timedelta(minutes=30), timedelta(minutes=7.5)),
        (timedelta(minutes=5), timedelta(seconds=75)),
    ],
)
def test_a_renewal_waits_for_others_a_quarter_of_its_margin_at_most(margin: timedelta, slack: timedelta) -> None:
    assert renewal_slack(margin) == slack


def test_a_sweep_is_due_for_a_flagged_link_of_the_watched_client(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    assert SweepWatch(CLIENT).look(ledger) == NOTHING
    change(ledger, row.link_id, flagged_at=clock.now())
    assert SweepWatch(CLIENT).look(ledger).count == 1
    assert SweepWatch("another").look(ledger) == NOTHING


def test_an_api_that_refuses_for_an_hour_while_links_fall_due_starts_few_runs(
    ledger: Database, clock: FakeClock
) -> None:
    for number in range(20):  # one each half minute
        row = mint(ledger, model_id=f"Model{number:06d}")
        with ledger.write(task("publish")) as tx:
            publications.publish(tx, "site", [Shown(row.model_id, row.link_id, {}, timedelta(0))], claimed=False)
        end = clock.now() + DEMAND.renew_before + timedelta(seconds=30 * number)
        change(ledger, row.link_id, valid_until=end, minted_at=end - timedelta(days=1))
    watch, hold_off = RenewalWatch(DEMAND, clock.monotonic), HoldOff(clock.monotonic)
    decisions = []
    for _ in range(2 * 75):  # the slack of 15 minutes, and an hour
        decisions.append(hold_off.decide(watch.look(ledger)))
        clock.advance(30)
    assert decisions.count(Decision.START) == 8


def test_every_slot_is_looked_at_first_every_ten_minutes_and_while_one_is_dark(
    ledger: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = mint(ledger)
    with ledger.write(task("publish")) as tx:
        publications.publish(tx, "site", [Shown("page", row.link_id, {}, timedelta(0))], claimed=False)
    looks: list[str] = []
    original = due.dark_slots

    def dark_slots(tx: object, demand: object, since: datetime | None = None) -> DueWork:
        looks.append("whole" if since is None else "recent")
        return original(tx, demand, since)  # type: ignore[arg-type]

    monkeypatch.setattr(due, "dark_slots", dark_slots)
    watch = RenewalWatch(DEMAND, clock.monotonic)
    for _ in range(21):
        assert watch.look(ledger) == NOTHING
        clock.advance(30)
    assert looks == ["whole", *["recent"] * 19, "whole"]
    change(ledger, row.link_id, state="revoked", revoked_at=clock.now())  # without an event: found by a whole look
    clock.advance(600)
    looks.clear()
    assert [watch.look(ledger).count for _ in range(3)] == [1, 1, 1]
    assert looks == ["whole"] * 3


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> Database:
    return ledger_in_memory(clock)


def test_a_slot_that_goes_dark_between_two_whole_looks_is_looked_for_among_all_of_them_until_it_is_not() -> None:
    clock = FakeClock()
    ledger, watch = ledger_in_memory(clock), RenewalWatch(DEMAND, clock.monotonic)
    since: list[bool] = []

    def dark_slots(tx: object, demand: RenewalDemand, after: datetime | None) -> DueWork:
        since.append(after is None)
        return found.pop(0)

    found = [NOTHING, NOTHING, work(), work(), NOTHING, NOTHING]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "dark_slots", dark_slots)
        for _ in range(6):
            watch.look(ledger)
            clock.advance(30)
    assert since == [True, False, False, True, True, False]
