"""What a mint needs: which link is reused, who may mint, and the row that stands before the request is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.durations import Validity
from pme_airflow.ledger import mint_requests, mint_runs
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_requests import Busy, Demand, PendingMint, Prepared, Reuse
from pme_airflow.ledger.mint_runs import MintRun
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from tests.support.clocks import FakeClock
from tests.support.ledgers import (
    AUDIENCE,
    CLIENT,
    DAY,
    DEMAND,
    MODEL,
    OTHER,
    begin_mint,
    change,
    dead_process,
    events_of,
    mint,
    row_of,
    task,
)

HALF = timedelta(hours=12)
KEEP = Demand(CLIENT, AUDIENCE, DAY, HALF)


def begin(ledger: Database, run: RunContext) -> MintRun:
    with ledger.write(run) as tx:
        return mint_runs.begin(tx)


def prepare(ledger: Database, run: RunContext, demand: Demand = DEMAND, models: Sequence[str] = (MODEL,),
            mint_run: MintRun | None = None, can_open: Any = lambda _: True) -> list[Prepared]:  # fmt: skip
    mint_run = mint_run or begin(ledger, run)
    with ledger.write(run) as tx:
        return mint_requests.prepare(tx, mint_run, demand, models, tx.now(), can_open)


def one(ledger: Database, run: RunContext, demand: Demand = DEMAND, **named: Any) -> Prepared:
    (entry,) = prepare(ledger, run, demand, **named)
    return entry


def reused(entry: Prepared) -> str | None:
    return entry.row.link_id if isinstance(entry, Reuse) else None


def look(ledger: Database, clock: FakeClock, demand: Demand = KEEP, can_open: Any = lambda _: True) -> list[LinkRow]:
    with ledger.read() as tx:
        return list(mint_requests.look(tx, demand, [MODEL], clock.now(), can_open).values())


# ------------------------------------------------------- the row before it


def test_a_row_stands_before_the_mint_is_sent_and_covers_its_token(ledger: Database, clock: FakeClock) -> None:
    run = task("monday", index=4)
    with events_of(ledger) as events:
        entry = one(ledger, run)
    assert isinstance(entry, PendingMint)
    row = row_of(ledger, entry.link_id)
    assert (row.state, row.client_id, row.audience, row.model_id) == (State.MINTING, CLIENT, AUDIENCE, MODEL)
    assert (row.valid_for, row.requested_at) == (86400, clock.now())
    assert row.valid_until == clock.now() + timedelta(days=1, minutes=15)
    assert (row.run, row.run_uid, row.task_key) == (run.run, run.uid, run.task_key)
    assert [(event["event"], event["reason"]) for event in events] == [("requested", "a link of 24h is requested")]


def test_several_models_are_prepared_at_once_each_with_a_link_of_its_own(ledger: Database) -> None:
    ready = mint(ledger, model_id="ModelBBBBBB", run=task("monday"))
    begin_mint(ledger, DEMAND, "ModelCCCCCC", task("other"))
    entries = prepare(ledger, task("monday"), models=["ModelAAAAAA", "ModelBBBBBB", "ModelCCCCCC", "ModelDDDDDD"])
    kinds = {entry.model_id: type(entry) for entry in entries}
    assert kinds == {"ModelAAAAAA": PendingMint, "ModelBBBBBB": Reuse, "ModelCCCCCC": Busy, "ModelDDDDDD": PendingMint}
    ids = {entry.link_id for entry in entries if isinstance(entry, PendingMint)}
    assert len(ids) == 2
    assert ready.link_id not in ids
    assert all(len(link_id) == 36 and link_id.startswith("lnk_") for link_id in ids)


# ------------------------------------------------------------- who may mint


def test_a_second_run_waits_while_the_first_one_mints(ledger: Database, clock: FakeClock) -> None:
    begin_mint(ledger, run=task("first"))
    assert one(ledger, task("second")) == Busy(MODEL)
    clock.advance(CLAIM_TTL.total_seconds())
    assert isinstance(one(ledger, task("second")), PendingMint)


@pytest.mark.parametrize(
    "other", [Demand(OTHER, AUDIENCE, DAY), Demand(CLIENT, "portal", DAY)], ids=["client", "audience"]
)
def test_another_clients_or_audiences_mint_keeps_nobody_waiting(ledger: Database, other: Demand) -> None:
    begin_mint(ledger, run=task("first"))
    assert isinstance(one(ledger, task("second"), other), PendingMint)


def test_what_a_dead_worker_left_is_unaccounted_and_minted_anew(ledger: Database, clock: FakeClock) -> None:
    left = begin_mint(ledger, run=RunContext("x", process=dead_process()))
    with events_of(ledger) as events:
        assert isinstance(one(ledger, task("second")), PendingMint)
    row = row_of(ledger, left.link_id)
    assert row.state is State.UNACCOUNTED
    assert row.valid_until == clock.now() + timedelta(days=1, minutes=15)
    assert events[0]["reason"] == "its worker went away before the answer came"
    assert [event["event"] for event in events] == ["abandoned", "requested"]


def test_a_claim_is_given_back_where_the_model_was_minted_for_meanwhile(ledger: Database) -> None:
    """Between the first look and the claim another run may have finished."""
    row = mint(ledger, run=task("first"))
    run = task("second")
    mint_run = MintRun(run, 0, frozenset())
    assert reused(one(ledger, run, mint_run=mint_run)) == row.link_id
    change(ledger, row.link_id, retire_at=row.requested_at)
    assert isinstance(one(ledger, task("third")), PendingMint)


# ------------------------------------------------------- which link is reused


def test_a_retry_finds_what_its_first_attempt_minted_and_another_run_renews(ledger: Database) -> None:
    row = mint(ledger, run=task("monday", index=1))
    assert reused(one(ledger, task("monday", index=2))) == row.link_id
    assert isinstance(one(ledger, task("tuesday", index=1)), PendingMint)


def test_a_task_of_the_same_run_that_is_another_renews(ledger: Database) -> None:
    mint(ledger, run=task("monday", "mint"))
    assert isinstance(one(ledger, task("monday", "mint_again")), PendingMint)


@pytest.mark.parametrize(("hours", "reuses"), [(17.99, True), (18, False), (23.9, False)])
def test_a_retry_takes_no_link_of_which_a_quarter_or_less_is_left(
    ledger: Database, clock: FakeClock, hours: float, reuses: bool
) -> None:
    """A task that is cleared late would use a link that is about to end."""
    row = mint(ledger, run=task("monday"))
    clock.advance(hours * 3600)
    assert (reused(one(ledger, task("monday"))) == row.link_id) is reuses


def test_what_was_requested_since_a_run_began_is_shared_with_it(ledger: Database) -> None:
    run = task("late")
    mint_run = begin(ledger, run)
    row = mint(ledger, run=task("other"))
    assert reused(one(ledger, run, mint_run=mint_run)) == row.link_id


def test_what_was_requested_before_a_run_began_is_renewed(ledger: Database) -> None:
    mint(ledger, run=task("other"))
    assert isinstance(one(ledger, task("late")), PendingMint)


def test_what_a_run_under_way_minted_is_shared_with_one_that_began_after_it(ledger: Database) -> None:
    first = task("first")
    begin(ledger, first)
    row = mint(ledger, run=first)
    second = task("second")
    mint_run = begin(ledger, second)
    assert reused(one(ledger, second, mint_run=mint_run)) == row.link_id


def test_what_a_finished_run_minted_is_renewed(ledger: Database) -> None:
    first = task("first")
    begin(ledger, first)
    mint(ledger, run=first)
    with ledger.write(first) as tx:
        mint_runs.finish(tx)
    assert isinstance(one(ledger, task("second")), PendingMint)


def test_the_newest_link_that_will_do_is_reused(ledger: Database) -> None:
    mint(ledger, run=task("monday"))
    newest = mint(ledger, run=task("monday"))
    assert reused(one(ledger, task("monday"))) == newest.link_id
    change(ledger, newest.link_id, flagged_at=newest.requested_at)
    assert reused(one(ledger, task("monday"))) != newest.link_id


@pytest.mark.parametrize(("hours", "reuses"), [(0, True), (12, True), (12.01, False)])
def test_a_keeper_renews_what_has_less_left_than_it_wants(
    ledger: Database, clock: FakeClock, hours: float, reuses: bool
) -> None:
    row = mint(ledger)
    clock.advance(hours * 3600)
    assert [found.link_id for found in look(ledger, clock)] == ([row.link_id] if reuses else [])
    assert (reused(one(ledger, task("keeper"), KEEP)) == row.link_id) is reuses


UNUSABLE: dict[str, dict[str, Any]] = {
    "flagged": {"flagged_at": FakeClock().now()},
    "retired": {"retire_at": FakeClock().now() + timedelta(days=1)},
    "without its text": {"sealed": None},
    "revoked": {"state": State.REVOKED},
    "of another client": {"client_id": OTHER},
    "of another audience": {"audience": "portal"},
}


@pytest.mark.parametrize("values", UNUSABLE.values(), ids=UNUSABLE)
def test_no_link_is_reused_that_is(ledger: Database, clock: FakeClock, values: dict[str, Any]) -> None:
    row = mint(ledger, run=task("monday"))
    change(ledger, row.link_id, **values)
    assert look(ledger, clock) == []
    assert isinstance(one(ledger, task("monday")), PendingMint)
    assert isinstance(one(ledger, task("keeper"), KEEP), Busy)


def test_no_link_is_reused_that_no_key_opens(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger, run=task("monday"))
    sealed = []
    assert look(ledger, clock, can_open=lambda text: bool(sealed.append(text))) == []
    assert sealed == [row.sealed]
    assert isinstance(one(ledger, task("monday"), can_open=lambda _: False), PendingMint)


def test_a_look_without_renewal_finds_nothing(ledger: Database, clock: FakeClock) -> None:
    mint(ledger)
    assert look(ledger, clock, DEMAND) == []


def test_the_row_of_a_short_link_ends_soon(ledger: Database, clock: FakeClock) -> None:
    entry = one(ledger, task(), Demand(CLIENT, AUDIENCE, Validity.parse("10m")))
    assert isinstance(entry, PendingMint)
    assert row_of(ledger, entry.link_id).valid_until == clock.now() + timedelta(minutes=25)
