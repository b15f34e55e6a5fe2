from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from pme_airflow.ledger import mint_runs, publications
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.keys import slot_key
from pme_airflow.ledger.read_model.rules import NightlyRule, RenewalRule, Rules
from pme_airflow.ledger.read_model.slots import ALL_SLOTS, find_slots
from pme_airflow.ledger.read_model.timeline import (
    Outage,
    ShownSpan,
    Window,
    gaps_of,
    outages,
    planned_renewal,
    run_spans,
    slot_history,
)
from pme_airflow.ledger.tables import events, links, runs
from tests.ledger.read_model.conftest import TARGET, Show
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, OTHER, change, task

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
KEY = slot_key(TARGET, "page 1")


def window(clock: FakeClock, hours: float = 48) -> Window:
    return Window(clock.now() - hours * HOUR, clock.now())


def spans(ledger: Database, clock: FakeClock, hours: float = 48) -> list[ShownSpan]:
    with ledger.read() as tx:
        slots = find_slots(tx, CLIENT, Rules(), ALL_SLOTS)
        return slot_history(tx, slots, Rules(), window(clock, hours)).get(KEY, [])


def test_a_slot_shows_link_after_link(ledger: Database, show: Show, clock: FakeClock) -> None:
    begun: list[datetime] = []
    rows = []
    for _ in range(3):
        begun.append(clock.now())
        rows.append(show("page 1"))
        show("page 2")
        clock.advance(12 * 3600)
    found = spans(ledger, clock)
    assert [span.link_id for span in found] == [row.link_id for row in rows]
    assert [span.start for span in found] == begun
    assert [span.end for span in found] == [*begun[1:], clock.now()]
    assert [span.planned_renewal for span in found] == [start + 12 * HOUR for start in begun]
    assert gaps_of(found) == []
    assert {span.run for span in found} == {"pme_nightly_rotation/monday/publish/-1"}


def test_a_renewal_that_came_too_late_leaves_a_gap(ledger: Database, show: Show, clock: FakeClock) -> None:
    first = show("page 1")
    clock.advance(25 * 3600)
    again = clock.now()
    show("page 1")
    (gap,) = gaps_of(spans(ledger, clock))
    assert (gap.start, gap.end) == (first.valid_until, again)


def test_a_revoked_link_leaves_a_gap_from_its_revocation(ledger: Database, show: Show, clock: FakeClock) -> None:
    row = show("page 1")
    clock.advance(3600)
    change(ledger, row.link_id, state="revoked", revoked_at=clock.now(), flagged_at=clock.now())
    revoked = clock.now()
    clock.advance(600)
    (span,) = spans(ledger, clock)
    assert span.flagged
    assert span.gap is not None
    assert (span.gap.start, span.gap.end) == (revoked, clock.now())


def test_what_a_window_begins_with_was_published_before_it(ledger: Database, show: Show, clock: FakeClock) -> None:
    show("page 1")
    last = show("page 1")
    clock.advance(10 * 3600)
    (span,) = spans(ledger, clock, hours=6)
    assert (span.link_id, span.start) == (last.link_id, clock.now() - 6 * HOUR)


def test_while_a_slot_was_withdrawn_it_showed_nothing(ledger: Database, show: Show, clock: FakeClock) -> None:
    show("page 1")
    clock.advance(3600)
    with ledger.write(task()) as tx:
        publications.withdraw(tx, publications.shown_at(tx, TARGET), "it left the account")
    withdrawn = clock.now()
    clock.advance(30 * 3600)
    again = clock.now()
    show("page 1")
    clock.advance(60)
    found = spans(ledger, clock)
    assert [(span.start, span.end) for span in found][1:] == [(again, clock.now())]
    assert found[0].end == withdrawn
    assert gaps_of(found) == []


def test_a_link_that_is_put_again_is_one_span(ledger: Database, show: Show, clock: FakeClock) -> None:
    row = show("page 1")
    clock.advance(60)
    with ledger.write(task()) as tx:
        publications.publish(tx, TARGET, [publications.Shown("page 1", row.link_id, {})], claimed=False)
    clock.advance(60)
    assert [(span.link_id, span.end) for span in spans(ledger, clock)] == [(row.link_id, clock.now())]


def test_of_a_slot_without_events_what_it_shows_now_is_known(ledger: Database, show: Show, clock: FakeClock) -> None:
    row = show("page 1")
    with ledger.write() as tx:
        tx.execute(update(events).values(slot_key=None))
    clock.advance(3600)
    (span,) = spans(ledger, clock)
    assert (span.link_id, span.start, span.end) == (row.link_id, row.requested_at, clock.now())


def test_failures_that_follow_one_another_are_one_outage(ledger: Database, clock: FakeClock) -> None:
    def fail(event: str, client_id: str = CLIENT) -> datetime:
        with ledger.write(task()) as tx:
            record_events(tx, event, [{"client_id": client_id}], tx.now(), "no answer")
        return clock.now()

    start = fail("lost")
    clock.advance(15 * 60)
    end = fail("not_made")
    fail("lost", OTHER)
    clock.advance(2 * 3600)
    alone = fail("not_revoked")
    with ledger.read() as tx:
        found = outages(tx, CLIENT, window(clock))
    assert [(outage.start, outage.end, outage.failures) for outage in found] == [(start, end, 2), (alone, alone, 1)]


@pytest.mark.parametrize("hours", [1, 48])
def test_runs_of_the_window_are_listed(ledger: Database, clock: FakeClock, hours: int) -> None:
    with ledger.write(task("long ago")) as tx:
        mint_runs.begin(tx)
        mint_runs.finish(tx)
    clock.advance(2 * 3600)
    with ledger.write(task("now")) as tx:
        mint_runs.begin(tx)
    with ledger.read() as tx:
        found = [(span.run.split("/")[1], span.end is None) for span in run_spans(tx, window(clock, hours))]
    assert found == ([("now", True)] if hours == 1 else [("long ago", False), ("now", True)])


def test_an_outage_goes_on_while_failures_are_twenty_minutes_apart(ledger: Database, clock: FakeClock) -> None:
    begun = clock.now()
    times = [begun, begun + 20 * MINUTE, begun + 40 * MINUTE + SECOND]
    with ledger.write(task()) as tx:
        for number, at in enumerate(times):
            record_events(tx, "lost", [{"client_id": CLIENT}], at, f"reason {number}")
        record_events(tx, "made", [{"client_id": CLIENT}], begun + 30 * MINUTE, "no failure")
    with ledger.read() as tx:
        found = outages(tx, CLIENT, Window(times[0], times[-1]))
        assert found == [Outage(times[0], times[1], 2, "reason 1"), Outage(times[2], times[2], 1, "reason 2")]
        assert outages(tx, CLIENT, Window(times[0] + SECOND, times[2] - SECOND)) == [
            Outage(times[1], times[1], 1, "reason 1")
        ]


def test_the_first_5000_failures_and_the_last_1000_runs_of_a_window_are_read(
    ledger: Database, clock: FakeClock
) -> None:
    begun = clock.now()
    failures = {"at": [begun + number * SECOND for number in range(5001)]}
    same = {"event": "lost", "client_id": CLIENT, "run": "r", "reason": "no answer"}
    started = [begun + number * SECOND for number in range(1001)]
    minted = {"run_uid": [str(number) for number in range(1001)], "started_at": started, "seen_at": started}
    with ledger.write() as tx:
        insert_rows(tx, events, failures, same)
        insert_rows(tx, runs, minted, {"run": "r"})
    clock.advance(5001)
    with ledger.read() as tx:
        assert [outage.failures for outage in outages(tx, CLIENT, window(clock))] == [5000]
        found = run_spans(tx, window(clock))
    assert (len(found), found[0].start, found[-1].start) == (1000, started[1], started[-1])


def test_a_run_is_of_a_window_that_it_touches(ledger: Database, clock: FakeClock) -> None:
    with ledger.write(task()) as tx:
        mint_runs.begin(tx)
    begun = clock.now()
    clock.advance(60)
    with ledger.write(task()) as tx:
        mint_runs.begin(tx)
    with ledger.read() as tx:
        assert [span.start for span in run_spans(tx, Window(begun - HOUR, begun))] == [begun]
        assert [span.start for span in run_spans(tx, Window(clock.now(), clock.now() + HOUR))] == [clock.now()]
        assert run_spans(tx, Window(begun + SECOND, begun + 59 * SECOND)) == []


def test_a_slot_that_was_given_a_link_that_is_over_is_dark_from_then(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    row = show("page 1")
    change(ledger, row.link_id, valid_until=clock.now() - HOUR)
    begun = clock.now()
    clock.advance(60)
    (gap,) = gaps_of(spans(ledger, clock))
    assert (gap.start, gap.end) == (begun, clock.now())


def test_a_link_that_is_replaced_when_it_ends_leaves_no_gap(ledger: Database, show: Show, clock: FakeClock) -> None:
    show("page 1")
    clock.advance(24 * 3600)
    show("page 1")
    clock.advance(60)
    assert gaps_of(spans(ledger, clock)) == []


def test_a_span_of_no_length_at_the_start_of_a_window_is_none(ledger: Database, show: Show, clock: FakeClock) -> None:
    show("page 1")
    clock.advance(3600)
    last = show("page 1")
    clock.advance(3600)
    found = spans(ledger, clock, hours=1)
    assert [(span.link_id, span.start) for span in found] == [(last.link_id, clock.now() - HOUR)]


def test_of_a_link_that_is_no_longer_in_the_ledger_no_end_is_known(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    row = show("page 1")
    with ledger.write() as tx:
        tx.execute(links.delete())
    clock.advance(60)
    (span,) = spans(ledger, clock)
    assert (span.link_id, span.alive_until, span.planned_renewal, span.flagged, span.gap) == (
        row.link_id, None, None, False, None
    )  # fmt: skip


def test_a_link_that_was_put_before_and_is_put_again_is_shown_twice(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    first = show("page 1")
    clock.advance(60)
    second = show("page 1")
    clock.advance(60)
    with ledger.write(task()) as tx:
        subject = {**first.subject, "target": TARGET, "slot": "page 1"}
        record_events(tx, "published", [subject], tx.now(), "put by hand")
    clock.advance(60)
    assert [span.link_id for span in spans(ledger, clock)] == [first.link_id, second.link_id, first.link_id]


def test_a_link_is_renewed_by_its_own_rule(ledger: Database, show: Show, clock: FakeClock) -> None:
    row = replace(show("page 1"), minted_at=clock.now())
    night, next_night = clock.now() + HOUR, clock.now() + 25 * HOUR
    quarter = Rules({AUDIENCE: RenewalRule(0.25)})
    assert planned_renewal(row, quarter) == row.valid_until - 6 * HOUR
    assert planned_renewal(replace(row, minted_at=None, requested_at=clock.now() + 12 * HOUR), quarter) == (
        row.valid_until - 3 * HOUR
    )
    nightly = Rules({AUDIENCE: NightlyRule(night, next_night)})
    assert planned_renewal(row, nightly) == night
    assert planned_renewal(replace(row, minted_at=night), nightly) == next_night
