"""What a run is to do about each slot: nothing goes back to an older link, nothing dead is put, nobody writes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.ledger import claims, keys, publications, slot_claims
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.ledger.states import State
from pme_airflow.ledger.transaction import WriteTransaction
from tests.support.clocks import FakeClock
from tests.support.databases import fresh
from tests.support.ledgers import change, ledger_at, mint, row_of, task

SITE = "site"
RUN = task("monday", "publish")


def plan(ledger: Database, link_id: str, slot: str = "page", run: RunContext = RUN, **named: Any) -> SlotPlan:
    with ledger.write(run) as tx:
        return slot_claims.open_slots(tx, SITE, {slot: link_id}, **named)[slot]


def publish(ledger: Database, row: LinkRow, slot: str = "page", run: RunContext = RUN) -> None:
    with ledger.write(run) as tx:
        assert publications.publish(tx, SITE, [Shown(slot, row.link_id, {"at": row.seq})], claimed=False) == {}


def set_uncertain(ledger: Database, *slots: str) -> None:
    with ledger.write(RUN) as tx:
        slot_claims.set_uncertain(tx, SITE, slots)


def test_an_empty_slot_is_put(ledger: Database) -> None:
    row = mint(ledger)
    assert plan(ledger, row.link_id) == SlotPlan(SlotAction.PUT, row, None)


def test_a_slot_that_shows_an_earlier_link_is_put_with_what_it_needs_to_be_edited(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old)
    found = plan(ledger, new.link_id)
    assert (found.action, found.link) == (SlotAction.PUT, new)
    assert found.previous is not None
    assert found.previous.details == {"at": old.seq}


def test_a_slot_that_shows_the_link_is_kept_and_not_claimed(ledger: Database) -> None:
    row = mint(ledger)
    publish(ledger, row)
    assert plan(ledger, row.link_id).action is SlotAction.KEEP
    set_uncertain(ledger, "page")
    assert plan(ledger, row.link_id, run=task("other")).action is SlotAction.PUT


def test_a_slot_that_shows_a_later_link_is_left_and_the_late_one_is_retired(ledger: Database, clock: FakeClock) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, new)
    assert plan(ledger, old.link_id, grace=timedelta(minutes=4)).action is SlotAction.NEWER
    assert row_of(ledger, old.link_id).retire_at == clock.now() + timedelta(minutes=4)
    assert row_of(ledger, new.link_id).retire_at is None


@pytest.mark.parametrize("published", ["later", "same"])
def test_what_another_run_published_before_the_claim_was_had_is_seen(
    servers: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, published: str
) -> None:
    """On PostgreSQL a run reads a slot, and waits for its claim until the other one's transaction has ended."""
    ledger = ledger_at(fresh(servers("postgresql")))
    ledger.prepare()
    row, later = mint(ledger), mint(ledger)
    take = claims.take

    def late(tx: WriteTransaction, wanted: Iterable[str]) -> set[str]:
        publish(ledger, later if published == "later" else row, run=task("other"))
        return take(tx, wanted)

    with monkeypatch.context() as patched:
        patched.setattr(claims, "take", late)
        found = plan(ledger, row.link_id)
    assert found.action is (SlotAction.NEWER if published == "later" else SlotAction.KEEP)
    with ledger.write(task("other")) as tx:
        assert claims.take(tx, [keys.slot_claim(SITE, "page")]), "the claim is free again"


def test_a_link_that_is_late_for_one_slot_lives_where_another_shows_it(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old, "other")
    publish(ledger, new)
    assert plan(ledger, old.link_id).action is SlotAction.NEWER
    assert row_of(ledger, old.link_id).retire_at is None


DEAD: dict[str, dict[str, Any]] = {
    "revoked": {"state": State.REVOKED},
    "expired": {"state": State.EXPIRED},
    "unaccounted": {"state": State.UNACCOUNTED},
    "minting": {"state": State.MINTING},
    "flagged": {"flagged_at": FakeClock().now()},
}


@pytest.mark.parametrize("values", DEAD.values(), ids=DEAD)
def test_no_dead_link_is_put(ledger: Database, values: dict[str, Any]) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, **values)
    assert plan(ledger, row.link_id).action is SlotAction.DEAD
    assert plan(ledger, mint(ledger).link_id, run=task("other")).action is SlotAction.PUT


def test_a_flagged_link_is_not_kept_where_it_is_shown(ledger: Database, clock: FakeClock) -> None:
    """A dark slot would be called unchanged."""
    row = mint(ledger)
    publish(ledger, row)
    change(ledger, row.link_id, flagged_at=clock.now())
    assert plan(ledger, row.link_id).action is SlotAction.DEAD


def test_a_link_the_ledger_does_not_know_is_not_put(ledger: Database) -> None:
    assert plan(ledger, "lnk_none") == SlotPlan(SlotAction.DEAD)


def test_a_link_on_its_way_out_is_put_where_it_is_wanted_again(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, retire_at=clock.now())
    assert plan(ledger, row.link_id).action is SlotAction.PUT


def test_a_slot_is_anothers_until_it_is_published_or_released_or_the_claim_ends(
    ledger: Database, clock: FakeClock
) -> None:
    row, other = mint(ledger), task("other")
    plan(ledger, row.link_id)
    found = plan(ledger, row.link_id, run=other)
    assert (found.action, found.link) == (SlotAction.BUSY, row)
    with ledger.write(other) as tx:
        slot_claims.release_slots(tx, SITE, ["page"])
    assert plan(ledger, row.link_id, run=other).action is SlotAction.BUSY
    with ledger.write(RUN) as tx:
        slot_claims.release_slots(tx, SITE, ["page"])
    assert plan(ledger, row.link_id, run=other).action is SlotAction.PUT
    clock.advance(CLAIM_TTL.total_seconds())
    assert plan(ledger, row.link_id).action is SlotAction.PUT


def test_slots_are_claimed_by_target(ledger: Database) -> None:
    row = mint(ledger)
    plan(ledger, row.link_id)
    with ledger.write(task("other")) as tx:
        found = slot_claims.open_slots(tx, "another site", {"page": row.link_id})
    assert found["page"].action is SlotAction.PUT


def test_several_slots_are_planned_each_for_itself(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, new, "newer")
    publish(ledger, old, "kept")
    plan(ledger, old.link_id, "busy", task("other"))
    wanted = dict.fromkeys(["newer", "kept", "busy", "fresh"], old.link_id) | {"none": "lnk_none"}
    with ledger.write(RUN) as tx:
        plans = slot_claims.open_slots(tx, SITE, wanted)
    assert {slot: found.action for slot, found in plans.items()} == {
        "newer": SlotAction.NEWER, "kept": SlotAction.KEEP, "busy": SlotAction.BUSY, "fresh": SlotAction.PUT,
        "none": SlotAction.DEAD,
    }  # fmt: skip
    with ledger.write(task("other")) as tx:
        assert slot_claims.open_slots(tx, SITE, {"fresh": old.link_id})["fresh"].action is SlotAction.BUSY


# ---------------------------------------------------------- uncertain slots


def test_an_uncertain_slot_is_put_again_with_the_link_it_shows(ledger: Database) -> None:
    row = mint(ledger)
    publish(ledger, row)
    set_uncertain(ledger, "page")
    assert (plan(ledger, row.link_id).action, row_of(ledger, row.link_id).retire_at) == (SlotAction.PUT, None)


def test_an_uncertain_slot_is_put_with_the_later_of_its_links(ledger: Database, clock: FakeClock) -> None:
    """A late writer has overwritten it; its own link is too late, and is retired."""
    old, new = mint(ledger), mint(ledger)
    publish(ledger, new)
    set_uncertain(ledger, "page")
    found = plan(ledger, old.link_id)
    assert (found.action, found.link) == (SlotAction.PUT, row_of(ledger, new.link_id))
    assert row_of(ledger, old.link_id).retire_at is not None
    assert row_of(ledger, new.link_id).retire_at is None


@pytest.mark.parametrize(
    "values", [DEAD["revoked"], DEAD["flagged"], {"retire_at": FakeClock().now()}, {"sealed": None}]
)
def test_an_uncertain_slot_is_put_with_the_earlier_link_where_the_later_one_is_of_no_use(
    ledger: Database, values: dict[str, Any]
) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, new)
    set_uncertain(ledger, "page")
    change(ledger, new.link_id, **values)
    found = plan(ledger, old.link_id)
    assert (found.action, found.link) == (SlotAction.PUT, old)
    publish(ledger, old)


def test_an_uncertain_slot_is_put_with_a_later_link(ledger: Database) -> None:
    old, new = mint(ledger), mint(ledger)
    publish(ledger, old)
    set_uncertain(ledger, "page")
    assert (plan(ledger, new.link_id).action, plan(ledger, new.link_id).link) == (SlotAction.PUT, new)


def test_only_named_slots_become_uncertain(ledger: Database) -> None:
    row = mint(ledger)
    publish(ledger, row, "a")
    publish(ledger, row, "b")
    set_uncertain(ledger, "a", "none")
    assert plan(ledger, row.link_id, "b").action is SlotAction.KEEP
    assert plan(ledger, row.link_id, "a").action is SlotAction.PUT


# ---------------------------------------------------------------- the index


def test_one_run_at_a_time_writes_an_index(ledger: Database, clock: FakeClock) -> None:
    other = task("other")

    def acquire(run: RunContext, target: str = SITE) -> bool:
        with ledger.write(run) as tx:
            return slot_claims.acquire_index_lock(tx, target)

    def release(run: RunContext) -> None:
        with ledger.write(run) as tx:
            slot_claims.release_index_lock(tx, SITE)

    assert acquire(RUN)
    assert not acquire(other)
    assert acquire(other, "another site")
    release(other)
    assert not acquire(other)
    release(RUN)
    assert acquire(other)
    clock.advance(CLAIM_TTL.total_seconds())
    assert acquire(RUN)


def test_the_index_is_locked_apart_from_every_slot(ledger: Database) -> None:
    row = mint(ledger)
    plan(ledger, row.link_id, "")
    with ledger.write(task("other")) as tx:
        assert slot_claims.acquire_index_lock(tx, SITE)
