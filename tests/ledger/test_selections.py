"""What is retired is selected by criteria that all must match, of one client alone, however many pages it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from pme_airflow.ledger import selections
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.publications import Shown, publish
from pme_airflow.ledger.selections import Selection
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import publications as table
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, OTHER, events_of, insert_link, row_of, task

RUN = task("monday", "retire")
NOW = FakeClock().now()


def show(ledger: Database, slot: str, dag: str = "dag", target: str = "site", **values: Any) -> None:
    """Record a slot that shows a link of its own."""
    insert_link(ledger, slot, NOW, **{"state": "live", "audience": "a", "model_id": "M", **values})
    with ledger.write(task("monday", "publish", dag=dag)) as tx:
        assert publish(tx, target, [Shown(slot, slot, {})], claimed=False) == {}


def selected(ledger: Database, **criteria: Any) -> list[str]:
    """The slots that are selected, by their names; the count has to agree."""
    selection = Selection(CLIENT, **{key: frozenset(values) for key, values in criteria.items()})
    found = [publication.slot for publication in selections.shown(ledger, selection)]
    with ledger.read() as tx:
        assert selections.count_shown(tx, selection) == len(found)
    return sorted(found)


@pytest.fixture
def shown(ledger: Database) -> Database:
    show(ledger, "one")
    show(ledger, "two", audience="b", model_id="N", target="channel", dag="other")
    show(ledger, "theirs", client_id=OTHER)
    return ledger


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, ["one", "two"]),
        ({"audiences": ["a"]}, ["one"]),
        ({"models": ["N"]}, ["two"]),
        ({"targets": ["channel"]}, ["two"]),
        ({"publishers": ["other"]}, ["two"]),
        ({"publishers": []}, []),
        ({"audiences": ["a"], "models": ["N"]}, []),
        ({"audiences": ["a", "b"], "models": ["M", "N"], "targets": ["site"]}, ["one"]),
    ],
)
def test_a_slot_is_selected_if_every_criterion_matches(
    shown: Database, criteria: dict[str, list[str]], expected: list[str]
) -> None:
    assert selected(shown, **criteria) == expected


def test_targets_and_audiences_are_a_clients_own(shown: Database) -> None:
    insert_link(shown, "over", NOW, state="expired", audience="c")
    with shown.read() as tx:
        assert selections.targets_shown(tx, Selection(CLIENT)) == ["channel", "site"]
        assert selections.targets_shown(tx, Selection(CLIENT, models=frozenset({"N"}))) == ["channel"]
        assert selections.live_audiences(tx, CLIENT) == ["a", "b"]
        assert selections.live_audiences(tx, OTHER) == ["a"]


def test_more_than_one_page_is_selected_once(ledger: Database) -> None:
    row = {
        "target": "site", "link_id": "x", "link_seq": 1, "model_id": "M", "audience": "a", "published_at": NOW,
        "run": "r", "details": {}, "client_id": CLIENT,
    }  # fmt: skip
    with ledger.write(RUN) as tx:
        tx.execute(insert(table), [{**row, "slot_key": f"{n:064}", "slot": f"{n:04}"} for n in range(1001)])
    assert selected(ledger) == [f"{n:04}" for n in range(1001)]


@pytest.mark.parametrize(
    ("values", "retired"),
    [
        ({}, True),
        ({"retire_at": NOW + timedelta(minutes=15)}, True),
        ({"retire_at": NOW}, False),
        ({"flagged_at": NOW}, False),
        ({"client_id": OTHER}, False),
        ({"audience": "b"}, False),
        *(({"state": state.value}, False) for state in sorted(set(State) - {State.LIVE})),
    ],
)
def test_a_live_link_that_no_slot_shows_is_retired_at_once(
    ledger: Database, values: dict[str, Any], retired: bool
) -> None:
    show(ledger, "shown")
    insert_link(ledger, "lnk", NOW, **{"state": "live", "audience": "a", **values})
    with events_of(ledger) as events, ledger.write(RUN) as tx:
        found = selections.retire_unshown_links(tx, Selection(CLIENT, frozenset({"a"})), "the contract ended")
    assert found == (["lnk"] if retired else [])
    assert [(e["event"], e["link_id"], e["reason"]) for e in events] == (
        [("retiring", "lnk", "the contract ended")] if retired else []
    )
    if retired:
        assert row_of(ledger, "lnk").retire_at == NOW
    assert row_of(ledger, "shown").retire_at is None


def test_no_more_links_are_retired_at_once_than_the_limit(ledger: Database) -> None:
    for name in ("first", "second", "third"):
        insert_link(ledger, name, NOW, state="live")
    pages = []
    for _ in range(3):
        with ledger.write(RUN) as tx:
            pages.append(selections.retire_unshown_links(tx, Selection(CLIENT), "x", limit=2))
    assert pages == [["first", "second"], ["third"], []]


def test_links_that_no_slot_shows_are_retired_by_their_models(ledger: Database) -> None:
    for name in ("first", "second"):
        insert_link(ledger, name, NOW, state="live", audience="a", model_id=f"Model-{name}")
    selection = Selection(CLIENT, frozenset({"a"}), frozenset({"Model-second"}))
    with ledger.write(RUN) as tx:
        assert selections.retire_unshown_links(tx, selection, "x") == ["second"]
        assert selections.retired_links(tx, selection) == ["second"]
        assert selections.retired_links(tx, Selection(CLIENT, models=frozenset({"Model-first"}))) == []
