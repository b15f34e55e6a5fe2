"""What a sweep takes: leaks first, its own client's alone, nothing another sweep has, nothing before its time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.ledger import sweep_queue
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.sweep_queue import LONGEST_WAIT, Due
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DAY, OTHER, change, insert_link, mint, row_of, task

RUN = task("monday", "sweep")
NOW = FakeClock().now()
SWEEP_TTL = timedelta(seconds=45)
SPREAD = timedelta(seconds=60)
MOMENT = timedelta(microseconds=1)


def take(ledger: Database, limit: int = 100, run: RunContext = RUN, client_id: str = CLIENT, **named: Any) -> list[Due]:
    with ledger.write(run) as tx:
        return sweep_queue.take_due(tx, client_id, limit, **named)


def taken(ledger: Database, limit: int = 100, **named: Any) -> list[str]:
    return [entry.row.link_id for entry in take(ledger, limit, **named)]


def next_due(ledger: Database, client_id: str = CLIENT) -> timedelta | None:
    with ledger.read() as tx:
        return sweep_queue.next_due_at(tx, client_id)


def flagged(ledger: Database, link_id: str = "lnk", **values: Any) -> None:
    insert_link(ledger, link_id, NOW, **{"state": "live", "flagged_at": NOW, **values})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"retire_at": NOW}, None),
        ({"retire_at": NOW + MOMENT}, MOMENT),
        ({"retire_at": NOW + MOMENT, "flagged_at": NOW}, None),
        ({"retire_at": NOW + MOMENT, "client_id": OTHER}, None),
        ({"retire_at": NOW + MOMENT, "state": "revoked"}, None),
    ],
)
def test_the_next_retirement_is_that_of_a_replaced_link_whose_grace_is_not_over(
    ledger: Database, values: dict[str, Any], expected: timedelta | None
) -> None:
    insert_link(ledger, "lnk", NOW, **{"state": "live", **values})
    insert_link(ledger, "later", NOW, state="live", retire_at=NOW + timedelta(days=1), client_id=OTHER)
    with ledger.read() as tx:
        assert sweep_queue.next_retirement_in(tx, CLIENT) == expected


# ---------------------------------------------------------------- what is due


@pytest.mark.parametrize(
    ("values", "is_due"),
    [
        ({}, False),
        ({"flagged_at": NOW}, True),
        ({"flagged_at": NOW + timedelta(hours=1)}, True),
        ({"retire_at": NOW}, True),
        ({"retire_at": NOW + MOMENT}, False),
        ({"flagged_at": NOW, "retire_at": NOW + timedelta(days=1)}, True),
        ({"flagged_at": NOW, "irrevocable": True}, True),
        ({"flagged_at": NOW, "client_id": OTHER}, False),
        ({"retire_at": NOW, "client_id": OTHER}, False),
    ],
)
def test_what_leaked_or_was_replaced_is_due(ledger: Database, values: dict[str, Any], is_due: bool) -> None:
    insert_link(ledger, "lnk", NOW, **{"state": "live", **values})
    assert next_due(ledger) == (timedelta(0) if is_due and "irrevocable" not in values else None)
    assert taken(ledger) == (["lnk"] if is_due else [])


@pytest.mark.parametrize("state", sorted(set(State) - {State.LIVE}))
def test_what_is_not_live_is_not_due(ledger: Database, state: State) -> None:
    flagged(ledger, state=state, retire_at=NOW)
    assert (taken(ledger), next_due(ledger)) == ([], None)


def test_a_clients_links_are_not_taken_by_anothers_sweep(ledger: Database) -> None:
    own, theirs = mint(ledger), mint(ledger, Demand(OTHER, AUDIENCE, DAY))
    for row in (own, theirs):
        change(ledger, row.link_id, flagged_at=NOW)
    assert taken(ledger, client_id=CLIENT) == [own.link_id]
    assert next_due(ledger, OTHER) == timedelta(0)
    assert taken(ledger, client_id=OTHER) == [theirs.link_id]


def test_leaks_go_first_and_of_each_kind_the_longest_lived_and_newest(ledger: Database) -> None:
    ends = {"short": 1, "long": 9, "long_and_newer": 9}
    for kind, values in (("retired", {"flagged_at": None, "retire_at": NOW}), ("flagged", {})):
        for name, hours in ends.items():
            flagged(ledger, f"{kind}_{name}", valid_until=NOW + timedelta(hours=hours), **values)
    order = [f"{kind}_{name}" for kind in ("flagged", "retired") for name in ("long_and_newer", "long", "short")]
    assert taken(ledger, 4) == order[:4]
    found = take(ledger)
    assert [(entry.row.link_id, entry.flagged) for entry in found] == [(name, False) for name in order[4:]]


def test_a_sweep_of_leaks_takes_no_retirements(ledger: Database) -> None:
    flagged(ledger, "retired", flagged_at=None, retire_at=NOW)
    flagged(ledger, "leaked")
    assert [(entry.row.link_id, entry.flagged) for entry in take(ledger, flagged_only=True)] == [("leaked", True)]


# ------------------------------------------------------------ two sweeps at once


def test_what_one_sweep_took_is_kept_from_others_for_45_seconds(ledger: Database, clock: FakeClock) -> None:
    flagged(ledger)
    assert taken(ledger) == ["lnk"]
    clock.advance(SWEEP_TTL.total_seconds() - 0.001)
    assert taken(ledger, run=task("other")) == []
    clock.advance(0.001)
    assert taken(ledger, run=task("other")) == ["lnk"]


def test_a_sweep_whose_transaction_took_its_time_first_leaves_what_another_took_since(
    ledger: Database, clock: FakeClock
) -> None:
    flagged(ledger)
    with ledger.write(task("other")) as tx:
        earlier = tx.now()
    clock.advance(0.003)
    assert taken(ledger) == ["lnk"]
    with ledger.write(task("other")) as tx:
        tx.now = lambda: earlier  # type: ignore[method-assign]
        assert sweep_queue.take_due(tx, CLIENT, 1) == []


def test_a_sweep_that_goes_on_keeps_what_it_took_and_nothing_of_anothers(ledger: Database, clock: FakeClock) -> None:
    one, two = task("one", "sweep"), task("two", "sweep")
    insert_link(ledger, "kept", NOW, state="live", flagged_at=NOW)
    with ledger.write(one) as tx:
        sweep_queue.take_due(tx, CLIENT, 1)
    insert_link(ledger, "lost", NOW, state="live", flagged_at=NOW)
    with ledger.write(two) as tx:
        sweep_queue.take_due(tx, CLIENT, 1)
    clock.advance(30)
    with ledger.write(one) as tx:
        sweep_queue.extend(tx)
    clock.advance(30)
    with ledger.write(task("three", "sweep")) as tx:
        assert [due.row.link_id for due in sweep_queue.take_due(tx, CLIENT, 9)] == ["lost"]


def test_what_was_taken_and_not_sent_is_released_by_its_own_sweep_alone(ledger: Database) -> None:
    for number in range(501):
        flagged(ledger, f"lnk_{number}")
    rows = [entry.row for entry in take(ledger, 501)]
    with ledger.write(task("other")) as tx:
        sweep_queue.release(tx, rows)
    assert taken(ledger, 501) == []
    with ledger.write(RUN) as tx:
        sweep_queue.release(tx, rows[1:])
    assert len(taken(ledger, 501)) == 500


# ------------------------------------------------------------- when it is tried


@pytest.mark.parametrize(
    ("values", "wait"),
    [
        ({}, timedelta(0)),
        ({"next_attempt_at": NOW}, timedelta(0)),
        ({"next_attempt_at": NOW + timedelta(seconds=5)}, timedelta(seconds=5)),
        ({"next_attempt_at": NOW + LONGEST_WAIT}, LONGEST_WAIT),
        ({"sweep_until": NOW + SWEEP_TTL}, SWEEP_TTL),
        ({"sweep_until": NOW + SWEEP_TTL, "next_attempt_at": NOW + timedelta(seconds=5)}, SWEEP_TTL),
        ({"sweep_until": NOW + timedelta(seconds=5), "next_attempt_at": NOW + LONGEST_WAIT}, LONGEST_WAIT),
        # What lies further ahead than it can was stored before the clock was set back.
        ({"next_attempt_at": NOW + LONGEST_WAIT + SPREAD}, LONGEST_WAIT + SPREAD),
        ({"next_attempt_at": NOW + LONGEST_WAIT + SPREAD + MOMENT}, timedelta(0)),
        ({"next_attempt_at": NOW + timedelta(days=9)}, timedelta(0)),
        ({"sweep_until": NOW + SWEEP_TTL + SPREAD}, SWEEP_TTL + SPREAD),
        ({"sweep_until": NOW + SWEEP_TTL + SPREAD + MOMENT}, timedelta(0)),
        ({"sweep_until": NOW + timedelta(days=9)}, timedelta(0)),
        ({"sweep_until": NOW + timedelta(days=9), "next_attempt_at": NOW + timedelta(seconds=5)}, timedelta(seconds=5)),
    ],
)
def test_a_link_waits_for_its_next_attempt_and_for_another_sweep(
    ledger: Database, values: dict[str, Any], wait: timedelta
) -> None:
    flagged(ledger, **values)
    assert next_due(ledger) == wait
    assert taken(ledger) == ([] if wait else ["lnk"])


def test_the_next_attempt_is_the_earliest_of_all_and_never_an_irrevocable_ones(ledger: Database) -> None:
    assert next_due(ledger) is None
    flagged(ledger, "irrevocable", irrevocable=True)
    insert_link(ledger, "in use", NOW, state="live")
    insert_link(ledger, "replaced later", NOW, state="live", retire_at=NOW + MOMENT)
    assert next_due(ledger) is None
    flagged(ledger, "later", next_attempt_at=NOW + timedelta(seconds=9))
    flagged(ledger, "sooner", flagged_at=None, retire_at=NOW, next_attempt_at=NOW + timedelta(seconds=4))
    assert next_due(ledger) == timedelta(seconds=4)


def test_a_clock_that_was_set_back_does_not_keep_a_killed_sweeps_links(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, flagged_at=NOW)
    clock.advance(3600)
    assert taken(ledger) == [row.link_id]
    clock.advance(-3600)
    assert taken(ledger, run=task("other")) == [row.link_id]
    assert row_of(ledger, row.link_id).flagged_at == NOW
