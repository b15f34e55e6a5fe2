"""Which models an audience has: a query takes back only what it listed itself, and another client's are not its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from pme_airflow.ledger import audience_models, publications
from pme_airflow.ledger.audience_models import Listing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import listings
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DAY, DEMAND, OTHER, events_of, mint, task

A, B, C = "ModelAAAAAA", "ModelBBBBBB", "ModelCCCCCC"
ALL = Listing(CLIENT, AUDIENCE, "*")
MILL = Listing(CLIENT, AUDIENCE, "Mill")
RUN = task("monday", "models")
OTHER_DAG = task("monday", "models", dag="other")
COMMAND = RunContext("cli/somebody")
RECENTLY = timedelta(hours=26)


def record(ledger: Database, listing: Listing, models: Sequence[str], run: RunContext = RUN) -> list[str]:
    with ledger.write(run) as tx:
        return audience_models.record_listing(tx, listing, models)


def known(ledger: Database, clock: FakeClock, listing: Listing = ALL) -> list[str]:
    with ledger.read() as tx:
        return audience_models.known_models(tx, listing, clock.now())


def show(ledger: Database, *models: str, demand: Demand = DEMAND) -> None:
    for model_id in models:
        row = mint(ledger, demand, model_id)
        with ledger.write(RUN) as tx:
            slot = f"{demand.client_id} {demand.audience} {model_id}"
            assert publications.publish(tx, "site", [Shown(slot, row.link_id, {})], claimed=False) == {}


def count(ledger: Database) -> int:
    with ledger.read() as tx:
        return int(tx.scalar(select(func.count()).select_from(listings)))


# --------------------------------------------------------------- what is gone


def test_a_model_that_the_query_lists_no_more_is_gone_where_it_is_shown(ledger: Database, clock: FakeClock) -> None:
    show(ledger, A, B)
    assert record(ledger, ALL, [A, B, C]) == []
    with events_of(ledger) as events:
        assert record(ledger, ALL, [A]) == [B]
    assert [(event["event"], event["model_id"], event["audience"]) for event in events] == [("delisted", B, AUDIENCE)]
    assert record(ledger, ALL, [A]) == []
    with ledger.read() as tx:
        assert audience_models.delisted_since(tx, CLIENT, AUDIENCE, clock.now()) == {B: clock.now()}
        assert audience_models.delisted_since(tx, CLIENT, AUDIENCE, clock.now() + timedelta(seconds=1)) == {}
        assert audience_models.delisted_since(tx, OTHER, AUDIENCE, clock.now()) == {}
        assert audience_models.delisted_since(tx, CLIENT, "portal", clock.now()) == {}


def test_a_query_takes_back_nothing_that_it_never_listed(ledger: Database) -> None:
    show(ledger, A, B)
    assert record(ledger, MILL, [A]) == []
    assert record(ledger, MILL, [A], OTHER_DAG) == []


def test_what_another_dags_query_lists_now_is_not_taken_back(ledger: Database) -> None:
    show(ledger, A, B)
    record(ledger, ALL, [A, B])
    record(ledger, MILL, [B], OTHER_DAG)
    assert record(ledger, ALL, [A]) == []
    assert record(ledger, MILL, [A], OTHER_DAG) == [B]


def test_a_query_that_was_not_listed_for_26_hours_has_no_say(ledger: Database, clock: FakeClock) -> None:
    show(ledger, A, B)
    record(ledger, MILL, [B], OTHER_DAG)
    clock.advance(RECENTLY.total_seconds() - 1)
    record(ledger, ALL, [A, B])
    assert record(ledger, ALL, [A]) == []
    record(ledger, ALL, [A, B])
    clock.advance(1)
    assert record(ledger, ALL, [A]) == [B]


@pytest.mark.parametrize("other", [replace(ALL, client_id=OTHER), replace(ALL, audience="portal")],
                         ids=["client", "audience"])  # fmt: skip
def test_what_another_client_or_audience_is_shown_stays(ledger: Database, other: Listing) -> None:
    show(ledger, B, demand=Demand(other.client_id, other.audience, DAY))
    record(ledger, other, [B])
    record(ledger, ALL, [A, B])
    assert record(ledger, ALL, [A]) == []
    assert record(ledger, other, [A]) == [B]


@pytest.mark.parametrize("changed", [MILL, replace(ALL, exclude=frozenset({B}))], ids=["query", "exclude"])
def test_a_changed_query_takes_back_what_the_same_task_listed_before(ledger: Database, changed: Listing) -> None:
    show(ledger, A, B)
    record(ledger, ALL, [A, B])
    assert record(ledger, changed, [A], task("tuesday", "models")) == [B]
    assert count(ledger) == 1


def test_another_task_of_a_dag_replaces_nothing(ledger: Database) -> None:
    show(ledger, A, B)
    record(ledger, ALL, [A, B])
    assert record(ledger, MILL, [A], task("monday", "others")) == []
    assert count(ledger) == 2


def test_a_commands_listing_is_replaced_once_nobody_listed_it_for_26_hours(ledger: Database, clock: FakeClock) -> None:
    show(ledger, A, B)
    record(ledger, ALL, [A, B], COMMAND)
    clock.advance(RECENTLY.total_seconds() - 1)
    assert record(ledger, MILL, [A], COMMAND) == []
    clock.advance(1)
    assert record(ledger, MILL, [A], COMMAND) == [B]
    assert count(ledger) == 1


def test_a_task_replaces_no_commands_listing(ledger: Database, clock: FakeClock) -> None:
    show(ledger, A, B)
    record(ledger, ALL, [A, B], COMMAND)
    clock.advance(2 * RECENTLY.total_seconds())
    assert record(ledger, MILL, [A], RUN) == []


def test_a_listing_that_is_made_seldom_still_takes_back_what_it_listed(ledger: Database, clock: FakeClock) -> None:
    """Lists of models are dropped after a week without use, but not one that a listing is compared with."""
    show(ledger, A, B)
    record(ledger, ALL, [A, B])
    clock.advance(30 * 86400)
    record(ledger, Listing(CLIENT, "portal", "*"), [C], OTHER_DAG)
    assert record(ledger, ALL, [A]) == [B]


# ----------------------------------------------------------- what would be gone


def test_a_listing_is_compared_before_it_is_recorded(ledger: Database) -> None:
    record(ledger, ALL, [A, B, C])
    with ledger.write(RUN) as tx:
        change = audience_models.compare_listing(tx, ALL, [A])
        again = audience_models.compare_listing(tx, ALL, [A])
    assert (change.before, set(change.missing)) == (3, {B, C})
    assert again == change
    with ledger.write(RUN) as tx:
        excluded = audience_models.compare_listing(tx, replace(ALL, exclude=frozenset({B})), [A])
    assert (excluded.before, set(excluded.missing)) == (2, {C})


# ------------------------------------------------------------------ what is known


def test_the_known_models_are_what_the_query_listed_last(ledger: Database, clock: FakeClock) -> None:
    show(ledger, A)
    record(ledger, ALL, [C, B, C])
    assert known(ledger, clock) == [B, C]
    assert known(ledger, clock, MILL) == [A]
    assert known(ledger, clock, replace(ALL, exclude=frozenset({A}))) == [A]


def test_before_the_first_listing_they_are_what_is_shown_or_was_requested_lately(
    ledger: Database, clock: FakeClock
) -> None:
    show(ledger, A)
    mint(ledger, model_id=B)
    mint(ledger, Demand(OTHER, AUDIENCE, DAY), "ModelDDDDDD")
    mint(ledger, Demand(CLIENT, "portal", DAY), "ModelEEEEEE")
    assert known(ledger, clock) == [A, B]
    clock.advance(RECENTLY.total_seconds())
    assert known(ledger, clock) == [A]


def test_a_model_that_left_the_account_is_not_known_any_more(ledger: Database, clock: FakeClock) -> None:
    show(ledger, A, B)
    record(ledger, MILL, [A, B])
    assert record(ledger, MILL, [A]) == [B]
    assert known(ledger, clock, ALL) == [A]
