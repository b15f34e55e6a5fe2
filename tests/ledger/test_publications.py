"""Which slot shows which link: recorded once it is shown, retired when nothing shows it, and everybody's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from pme_airflow.ledger import flags, mint_requests, publications, slot_claims
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import NotRecorded, Publication, Shown, SlotOwner
from pme_airflow.ledger.retirements import DEFAULT_GRACE
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import publications as table
from tests.support.clocks import FakeClock
from tests.support.ledgers import (
    AUDIENCE,
    CLIENT,
    DAY,
    DEMAND,
    MODEL,
    OTHER,
    change,
    events_of,
    mint,
    row_of,
    task,
)

SITE = "wordpress:site"
RUN = task("monday", "publish")
OWN = SlotOwner(CLIENT, AUDIENCE)


def publish(
    ledger: Database, row: LinkRow, slot: str = "page", target: str = SITE, run: RunContext = RUN, **named: Any
) -> dict[str, NotRecorded]:
    entry = Shown(slot, row.link_id, named.pop("details", {}), **named)
    with ledger.write(run) as tx:
        return publications.publish(tx, target, [entry], claimed=False)


def shown(ledger: Database, slot: str = "page", target: str = SITE) -> Publication:
    with ledger.read() as tx:
        return publications.publications_in(tx, target, [slot])[slot]


# --------------------------------------------------------------- recording


def test_a_slot_that_was_put_is_recorded_as_it_is(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    with events_of(ledger) as events:
        assert publish(ledger, row, details={"edits": 1}) == {}
    found = shown(ledger)
    assert found == Publication(
        found.slot_key, SITE, "page", row.link_id, row.seq, MODEL, AUDIENCE, clock.now(), RUN.run, {"edits": 1}, CLIENT,
        "dag",
    )  # fmt: skip
    assert [(event["event"], event["link_id"], event["reason"]) for event in events] == [
        ("published", row.link_id, f"{SITE} shows it at page")
    ]


def test_a_slot_shows_one_link_and_the_one_before_is_retired_after_its_grace(
    ledger: Database, clock: FakeClock
) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old)
    with events_of(ledger) as events:
        publish(ledger, new, grace=timedelta(minutes=3), details={"edits": 2})
    assert (shown(ledger).link_id, shown(ledger).details) == (new.link_id, {"edits": 2})
    assert row_of(ledger, old.link_id).retire_at == clock.now() + timedelta(minutes=3)
    assert row_of(ledger, new.link_id).retire_at is None
    assert [(event["event"], event["reason"]) for event in events][-1] == ("retiring", f"replaced at {SITE}, page")


def test_a_link_that_another_slot_shows_is_not_retired(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old)
    publish(ledger, old, target="another")
    publish(ledger, new)
    assert row_of(ledger, old.link_id).retire_at is None
    publish(ledger, new, target="another")
    assert row_of(ledger, old.link_id).retire_at is not None


def test_publishing_the_same_link_again_retires_nothing(ledger: Database) -> None:
    row = mint(ledger)
    publish(ledger, row)
    publish(ledger, row, details={"edits": 2})
    assert row_of(ledger, row.link_id).retire_at is None
    assert shown(ledger).details == {"edits": 2}


def test_a_link_that_is_shown_again_is_retired_no_more(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, retire_at=clock.now() + timedelta(minutes=5))
    publish(ledger, row)
    assert row_of(ledger, row.link_id).retire_at is None


def test_a_flagged_link_that_is_shown_stays_on_its_way_out(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, retire_at=clock.now(), flagged_at=clock.now())
    publish(ledger, row)
    assert row_of(ledger, row.link_id).retire_at == clock.now()


def test_a_later_link_is_not_replaced_by_an_earlier_one(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, new)
    assert publish(ledger, old) == {"page": NotRecorded.SHOWS_LATER_LINK}
    assert shown(ledger).link_id == new.link_id
    assert str(NotRecorded.SHOWS_LATER_LINK) == "the slot shows a later link"


def test_a_link_the_ledger_does_not_know_is_not_recorded(ledger: Database) -> None:
    with ledger.write(RUN) as tx:
        entries = [Shown("page", "lnk_none", {}), Shown("other", mint_in(ledger, tx), {})]
        assert publications.publish(tx, SITE, entries, claimed=False) == {"page": NotRecorded.UNKNOWN_LINK}
    assert shown(ledger, "other")
    with ledger.read() as tx:
        assert publications.shown_in(tx, SITE, ["page"]) == {}


def mint_in(ledger: Database, tx: Any) -> str:
    """A link that is recorded in an open transaction; the ledger in memory has one connection."""
    pending = mint_requests.PendingMint(MODEL, "lnk_open")
    mint_requests.record(tx, DEMAND, [pending], tx.now(), "a test")
    return pending.link_id


def test_a_slot_whose_claim_has_passed_is_not_recorded(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    for slot in ("page", "other"):
        with ledger.write(RUN) as tx:
            slot_claims.open_slots(tx, SITE, {slot: row.link_id})
    with ledger.write(task("other")) as tx:
        assert publications.publish(tx, SITE, [Shown("page", row.link_id, {})]) == {"page": NotRecorded.CLAIM_LOST}
    with ledger.write(RUN) as tx:
        assert publications.publish(tx, SITE, [Shown("page", row.link_id, {})]) == {}
    clock.advance(CLAIM_TTL.total_seconds())
    with ledger.write(RUN) as tx:
        assert publications.publish(tx, SITE, [Shown("other", row.link_id, {})]) == {"other": NotRecorded.CLAIM_LOST}


def test_the_claim_is_released_once_the_slot_is_recorded(ledger: Database) -> None:
    row, later = mint(ledger), mint(ledger)
    with ledger.write(RUN) as tx:
        slot_claims.open_slots(tx, SITE, {"page": row.link_id})
        publications.publish(tx, SITE, [Shown("page", row.link_id, {})])
    with ledger.write(task("other")) as tx:
        plan = slot_claims.open_slots(tx, SITE, {"page": later.link_id})["page"]
    assert plan.action is slot_claims.SlotAction.PUT


def test_many_slots_are_recorded_together(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    slots = [f"page{number}" for number in range(1203)]
    with ledger.write(RUN) as tx:
        publications.publish(tx, SITE, [Shown(slot, old.link_id, {}) for slot in slots[:700]], claimed=False)
    with ledger.write(RUN) as tx:
        assert publications.publish(tx, SITE, [Shown(slot, new.link_id, {}) for slot in slots], claimed=False) == {}
    with ledger.read() as tx:
        assert {p.link_id for p in publications.publications_in(tx, SITE, slots).values()} == {new.link_id}
        assert len(publications.shown_at(tx, SITE)) == len(slots)
    assert row_of(ledger, old.link_id).retire_at is not None


def test_details_are_replaced_where_the_publication_is_still_the_same(ledger: Database, clock: FakeClock) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old, "same")
    publish(ledger, old, "republished")
    publish(ledger, old, "changed")
    before = [shown(ledger, slot) for slot in ("same", "republished", "changed")]
    clock.advance(1)
    publish(ledger, old, "republished")
    publish(ledger, new, "changed")
    with ledger.write(RUN) as tx:
        publications.record_details(tx, [(publication, {"seen": 1}) for publication in before])
    assert [shown(ledger, slot).details for slot in ("same", "republished", "changed")] == [{"seen": 1}, {}, {}]


# -------------------------------------------------------------- withdrawing


def test_a_slot_that_was_cleared_shows_nothing_and_its_link_is_retired(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    publish(ledger, row)
    with events_of(ledger) as events, ledger.write(RUN) as tx:
        publications.withdraw(tx, publications.shown_at(tx, SITE), "not listed any more", timedelta(minutes=2))
    with ledger.read() as tx:
        assert publications.shown_at(tx, SITE) == []
    assert row_of(ledger, row.link_id).retire_at == clock.now() + timedelta(minutes=2)
    assert [(event["event"], event["link_id"], event["reason"]) for event in events] == [
        ("withdrawn", row.link_id, f"{SITE} no longer shows it at page: not listed any more"),
        ("retiring", row.link_id, "not listed any more"),
    ]


def test_a_slot_that_was_published_anew_meanwhile_is_not_withdrawn(ledger: Database) -> None:
    """A republished slot would be forgotten, and its link revoked while it is shown."""
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old)
    stale = shown(ledger)
    publish(ledger, new)
    with ledger.write(RUN) as tx:
        publications.withdraw(tx, [stale], "not listed any more")
    assert shown(ledger).link_id == new.link_id
    assert row_of(ledger, new.link_id).retire_at is None
    assert row_of(ledger, old.link_id).retire_at is not None


def test_another_slot_of_the_same_link_keeps_it_alive_when_one_is_withdrawn(ledger: Database) -> None:
    row = mint(ledger)
    publish(ledger, row)
    publish(ledger, row, "second")
    with ledger.write(RUN) as tx:
        publications.withdraw(tx, [p for p in publications.shown_at(tx, SITE) if p.slot == "page"], "x")
    assert row_of(ledger, row.link_id).retire_at is None
    assert shown(ledger, "second").link_id == row.link_id


@pytest.mark.parametrize("state", [State.REVOKED, State.EXPIRED, State.UNACCOUNTED])
def test_only_what_is_live_is_retired(ledger: Database, state: State) -> None:
    row = mint(ledger)
    publish(ledger, row)
    change(ledger, row.link_id, state=state)
    with ledger.write(RUN) as tx:
        publications.withdraw(tx, publications.shown_at(tx, SITE), "x")
    assert row_of(ledger, row.link_id).retire_at is None


def test_what_is_retired_already_keeps_its_time(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    publish(ledger, row)
    change(ledger, row.link_id, retire_at=clock.now())
    with events_of(ledger) as events, ledger.write(RUN) as tx:
        publications.withdraw(tx, publications.shown_at(tx, SITE), "x", DEFAULT_GRACE)
    assert row_of(ledger, row.link_id).retire_at == clock.now()
    assert [event["event"] for event in events] == ["withdrawn"]


def test_each_link_is_retired_after_the_grace_of_its_own_slot(ledger: Database, clock: FakeClock) -> None:
    old = [mint(ledger, model_id=f"Model{n:06d}") for n in range(3)]
    new = [mint(ledger, model_id=f"Model{n:06d}") for n in range(3)]
    for number in range(3):
        publish(ledger, old[number], f"page{number}")
    graces = [timedelta(0), timedelta(minutes=15), timedelta(minutes=15)]
    entries = [Shown(f"page{n}", new[n].link_id, {}, graces[n]) for n in range(3)]
    with ledger.write(RUN) as tx:
        publications.publish(tx, SITE, entries, claimed=False)
    assert [row_of(ledger, row.link_id).retire_at for row in old] == [clock.now() + grace for grace in graces]


# ------------------------------------------------------------------ looking


def test_what_slots_show_is_found_by_target_slot_and_model(ledger: Database, clock: FakeClock) -> None:
    one, two = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    publish(ledger, two, "b")
    clock.advance(10)
    publish(ledger, one, "a")
    clock.advance(10)
    publish(ledger, one, "c")
    publish(ledger, one, "a", target="another")
    with ledger.read() as tx:
        assert [p.slot for p in publications.shown_at(tx, SITE)] == ["a", "b", "c"]
        assert [p.slot for p in publications.shown_at(tx, SITE, model_id=MODEL)] == ["a", "c"]
        assert [p.slot for p in publications.shown_at(tx, SITE, OWN, "ModelBBBBBB")] == ["b"]
        assert publications.shown_in(tx, SITE, ["a", "b", "x"]) == {
            slot: publications.SlotLink(row.link_id, row.model_id) for slot, row in (("a", one), ("b", two))
        }
        assert publications.models_at(tx, SITE, OWN) == {
            MODEL: clock.now(), "ModelBBBBBB": clock.now() - timedelta(seconds=20)
        }  # fmt: skip
        assert len(publications.shown_to(tx, OWN)) == 4


def test_an_uncertain_slot_is_not_taken_to_show_its_link(ledger: Database) -> None:
    row = mint(ledger)
    publish(ledger, row, "a")
    publish(ledger, row, "b")
    with ledger.write(RUN) as tx:
        slot_claims.set_uncertain(tx, SITE, ["a"])
    with ledger.read() as tx:
        assert publications.shown_in(tx, SITE, ["a", "b"]) == {"b": publications.SlotLink(row.link_id, row.model_id)}
        assert set(publications.publications_in(tx, SITE, ["a", "b"])) == {"a", "b"}


@pytest.mark.parametrize("state", [State.REVOKED, State.EXPIRED])
def test_a_link_is_still_live_unless_it_is_over_or_flagged(ledger: Database, state: State) -> None:
    alive, over, leaked, ended = mint(ledger), mint(ledger), mint(ledger), mint(ledger)
    change(ledger, over.link_id, state=state)
    change(ledger, ended.link_id, valid_until=ended.minted_at)
    with ledger.write(RUN) as tx:
        flags.flag(tx, "leaked", link_ids=[leaked.link_id])
    with ledger.read() as tx:
        ids = [row.link_id for row in (alive, over, leaked, ended)]
        assert publications.still_live(tx, [*ids, "lnk_none"], ended.minted_at) == {alive.link_id}


# ---------------------------------------------------------------- ownership


@pytest.fixture
def shared_site(ledger: Database) -> dict[str, LinkRow]:
    """One target that two clients, two audiences and two DAGs show links at."""
    rows = {
        "own": mint(ledger, DEMAND, "Model000001"),
        "same client, another DAG": mint(ledger, DEMAND, "Model000002"),
        "another audience": mint(ledger, Demand(CLIENT, "portal", DAY), "Model000003"),
        "another client": mint(ledger, Demand(OTHER, AUDIENCE, DAY), "Model000004"),
        "a command": mint(ledger, DEMAND, "Model000005"),
    }
    for name, row in rows.items():
        run = {"same client, another DAG": task(dag="mill"), "a command": RunContext.of_command("x")}.get(name, RUN)
        publish(ledger, row, name, run=run)
    return rows


@pytest.mark.parametrize(
    ("owner", "slots"),
    [
        (SlotOwner(CLIENT, AUDIENCE, frozenset({"dag"})), {"own"}),
        (SlotOwner(CLIENT, AUDIENCE, frozenset({"mill", "x"})), {"same client, another DAG"}),
        (SlotOwner(CLIENT, AUDIENCE, frozenset({"dag", "mill"})), {"own", "same client, another DAG"}),
        (SlotOwner(CLIENT, AUDIENCE), {"own", "same client, another DAG", "a command"}),
        (SlotOwner(OTHER, AUDIENCE), {"another client"}),
        (SlotOwner(CLIENT, "portal"), {"another audience"}),
        (SlotOwner(CLIENT, AUDIENCE, frozenset()), set()),
    ],
)
def test_each_sees_what_is_its_own(
    ledger: Database, shared_site: dict[str, LinkRow], owner: SlotOwner, slots: set[str]
) -> None:
    with ledger.read() as tx:
        assert {p.slot for p in publications.shown_at(tx, SITE, owner)} == slots
        assert {p.slot for p in publications.shown_to(tx, owner)} == slots
        assert set(publications.models_at(tx, SITE, owner)) == {shared_site[slot].model_id for slot in slots}
        assert {p.slot for p in publications.shown_at(tx, SITE)} == set(shared_site)


def test_the_link_of_another_client_is_not_retired_by_who_takes_its_slot(ledger: Database) -> None:
    """Only its own connection can revoke it, and it may be shown in a slot this one knows nothing of."""
    theirs, ours = mint(ledger, Demand(OTHER, AUDIENCE, DAY)), mint(ledger)
    publish(ledger, theirs)
    publish(ledger, ours)
    assert shown(ledger).client_id == CLIENT
    assert row_of(ledger, theirs.link_id).retire_at is None


def test_the_link_of_an_earlier_version_is_retired_by_who_takes_its_slot(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old)
    with ledger.write() as tx:
        tx.execute(update(table).values(client_id=None))
    publish(ledger, new)
    assert row_of(ledger, old.link_id).retire_at is not None


def test_slots_are_kept_under_another_name_of_their_target(ledger: Database) -> None:
    for slot in ("moved", "later", "taken"):
        publish(ledger, mint(ledger), slot, "former", details={"of": slot})
    publish(ledger, mint(ledger), "taken")
    former = [shown(ledger, slot, "former") for slot in ("moved", "later", "taken")]
    newer = mint(ledger)
    publish(ledger, newer, "later", "former")
    with events_of(ledger) as events, ledger.write(RUN) as tx:
        publications.move_to_target(tx, former, SITE)
    assert (shown(ledger, "moved").link_id, shown(ledger, "moved").details) == (former[0].link_id, {"of": "moved"})
    assert shown(ledger, "taken").link_id != former[2].link_id
    assert shown(ledger, "later", "former").link_id == newer.link_id
    with ledger.read() as tx:
        assert set(publications.publications_in(tx, SITE, ["moved", "later", "taken"])) == {"moved", "taken"}
        assert set(publications.publications_in(tx, "former", ["moved", "later", "taken"])) == {"later", "taken"}
    assert (events[0]["event"], events[0]["target"], events[0]["slot"]) == ("published", SITE, "moved")
    assert events[0]["reason"] == f"{SITE} is the name of former now; it shows it at moved"
