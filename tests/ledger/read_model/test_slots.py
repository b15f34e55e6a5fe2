from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from pme_airflow.ledger import slot_claims
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.keys import slot_key
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.read_model.rules import RenewalRule, Rules, SlotState
from pme_airflow.ledger.read_model.slots import (
    ALL_SLOTS,
    ORDERS,
    SlotFilter,
    SlotRow,
    by_state,
    count_slots,
    find_slots,
)
from pme_airflow.ledger.tables import links, models, publications
from tests.ledger.read_model.conftest import TARGET, Show, show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, OTHER, change, ledger_at

NO_RULES = Rules()
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def found(ledger: Database, which: SlotFilter = ALL_SLOTS, rules: Rules = NO_RULES, **page: int) -> list[SlotRow]:
    with ledger.read() as tx:
        return find_slots(tx, CLIENT, rules, which, **page)


def counted(ledger: Database, rules: Rules = NO_RULES, which: SlotFilter = ALL_SLOTS) -> dict[str, int]:
    with ledger.read() as tx:
        return by_state(count_slots(tx, CLIENT, rules, which))


@pytest.fixture
def each_state(ledger: Database, show: Show, clock: FakeClock) -> dict[str, LinkRow]:
    """A slot in each state, named for it."""
    rows = {"due": show("due", "ModelDue000"), "overdue": show("overdue", "ModelOver00")}
    clock.advance(6 * 3600)
    rows |= {
        name: show(name, f"Model{name:0<6.6}") for name in ("live", "dark", "ended", "flagged", "retiring", "lost")
    }
    clock.advance(6 * 3600 + 60)
    change(ledger, rows["overdue"].link_id, minted_at=clock.now() - 14 * HOUR, valid_until=clock.now() + 10 * HOUR)
    change(ledger, rows["dark"].link_id, state="revoked", revoked_at=clock.now())
    change(ledger, rows["ended"].link_id, valid_until=clock.now())
    change(ledger, rows["flagged"].link_id, flagged_at=clock.now())
    change(ledger, rows["retiring"].link_id, retire_at=clock.now())
    with ledger.write() as tx:
        slot_claims.set_uncertain(tx, TARGET, ["lost"])
    return rows


def test_each_slot_has_its_state(ledger: Database, each_state: dict[str, LinkRow]) -> None:
    states = {row.slot: row.state.value for row in found(ledger)}
    assert states == {
        "due": "due", "overdue": "due", "live": "live", "dark": "dark", "ended": "dark", "flagged": "retiring",
        "retiring": "retiring", "lost": "unaccounted",
    }  # fmt: skip
    assert [row.slot for row in found(ledger) if row.overdue] == ["overdue"]
    assert [row.slot for row in found(ledger) if row.at_risk] == ["ended", "overdue"]
    assert [row.slot for row in found(ledger, SlotFilter(at_risk=True))] == ["ended", "overdue"]
    assert counted(ledger) == {
        "total": 8, "dark": 2, "unaccounted": 1, "retiring": 2, "due": 2, "live": 1, "overdue": 1, "at_risk": 2,
    }  # fmt: skip


def test_the_most_urgent_slots_come_first(ledger: Database, each_state: dict[str, LinkRow]) -> None:
    states = [row.state.value for row in found(ledger)]
    assert states == sorted(states, key=[state.value for state in SlotState].index)
    reverse = [row.state.value for row in found(ledger, SlotFilter(descending=True))]
    assert reverse == states[::-1]


def test_a_link_over_in_an_uncertain_slot_is_dark(ledger: Database, show: Show, clock: FakeClock) -> None:
    show("page 1")
    with ledger.write() as tx:
        slot_claims.set_uncertain(tx, TARGET, ["page 1"])
    clock.advance(25 * 3600)
    assert [row.state for row in found(ledger)] == [SlotState.DARK]


def test_the_rule_of_the_audience_decides_when_a_link_is_due(ledger: Database, show: Show, clock: FakeClock) -> None:
    row = show("page 1")
    quarter = Rules({AUDIENCE: RenewalRule(0.25, overdue_after=HOUR)})
    (slot,) = found(ledger, rules=quarter)
    assert slot.renews_at == row.valid_until - 6 * HOUR
    clock.advance(18 * 3600)
    assert [(row.state.value, row.overdue) for row in found(ledger, rules=quarter)] == [("due", False)]
    clock.advance(3601)
    assert [(row.state.value, row.overdue) for row in found(ledger, rules=quarter)] == [("due", True)]
    others = Rules({"another": RenewalRule(0.99)})
    assert found(ledger, rules=others)[0].renews_at == row.valid_until - 12 * HOUR


def test_another_clients_slots_are_not_shown(ledger: Database, show: Show) -> None:
    show("page 1")
    with ledger.read() as tx:
        assert find_slots(tx, OTHER, NO_RULES, ALL_SLOTS) == []
        assert count_slots(tx, OTHER, NO_RULES) == []


@pytest.mark.parametrize("text", ["delaa", "PAGE 1", "intranet", "WordPress", "great hall"])
def test_search_finds_what_a_row_shows(ledger: Database, show: Show, text: str) -> None:
    row = show("page 1")
    show("other", "ModelBBBBBB", "slack:x")
    with ledger.write() as tx:
        tx.execute(insert(models), {"client_id": CLIENT, "model_id": row.model_id, "name": "The Great Hall"})
    names = {row.slot for row in found(ledger, SlotFilter(search=text))}
    assert names == ({"page 1", "other"} if text == "intranet" else {"page 1"})


@pytest.mark.parametrize("text", ["%", "pag_", "page%", "\\", "'; DROP TABLE pme_links; --", "\x00", "é" * 5000])
def test_search_takes_no_character_for_another(ledger: Database, show: Show, text: str) -> None:
    show("page 1")
    assert found(ledger, SlotFilter(search=text)) == []


@pytest.mark.parametrize("order", ORDERS)
def test_pages_in_every_order_hold_every_slot_once(ledger: Database, show: Show, order: str) -> None:
    for number in range(5):
        show(f"page {number}", f"Model{number:06d}")
    pages = [found(ledger, SlotFilter(order=order), limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({row.slot for page in pages for row in page}) == 5


def test_slots_are_in_the_order_that_was_asked_for(ledger: Database, clock: FakeClock) -> None:
    """The names, models and times run against each other, so that no two orders are alike."""
    for slot, target, model_id, name, minted, ends, audience in (
        ("1", "c", "ModelCCCCCC", "A hall", 3, 2, "y"),
        ("2", "a", "ModelBBBBBB", None, 2, 1, "z"),
        ("3", "b", "ModelAAAAAA", "Z hall", 1, 3, "x"),
    ):
        row = show_in(ledger, slot, model_id, target)
        change(ledger, row.link_id, minted_at=clock.now() + minted * MINUTE, valid_until=clock.now() + ends * HOUR)
        with ledger.write() as tx:
            tx.execute(publications.update().where(publications.c.slot == slot).values(audience=audience))
            if name:
                tx.execute(insert(models), {"client_id": CLIENT, "model_id": model_id, "name": name})
    orders = {"model": "123", "audience": "312", "target": "231", "slot": "123", "minted_at": "321",
              "valid_until": "213", "renews_at": "213"}  # fmt: skip
    for order, expected in orders.items():
        assert "".join(row.slot for row in found(ledger, SlotFilter(order=order))) == expected, order
        reverse = found(ledger, SlotFilter(order=order, descending=True))
        assert "".join(row.slot for row in reverse) == expected[::-1], order
    assert [row.model_name for row in found(ledger, SlotFilter(order="slot"))] == ["A hall", None, "Z hall"]


def test_a_models_name_is_that_of_the_slots_client(ledger: Database, show: Show) -> None:
    row = show("page 1")
    with ledger.write() as tx:
        names = [{"client_id": OTHER, "model_id": row.model_id, "name": "Theirs"},
                 {"client_id": CLIENT, "model_id": "ModelBBBBBB", "name": "Another"}]  # fmt: skip
        tx.execute(insert(models), names)
    assert [slot.model_name for slot in found(ledger)] == [None]


def test_counts_have_the_first_times_of_each_audience_target_and_state(
    ledger: Database, each_state: dict[str, LinkRow], clock: FakeClock
) -> None:
    with ledger.write() as tx:
        tx.execute(links.delete().where(links.c.link_id == each_state["dark"].link_id))
    with ledger.read() as tx:
        counts = count_slots(tx, CLIENT, NO_RULES)
    assert [(count.audience, count.target, count.state.value) for count in counts] == [
        (AUDIENCE, TARGET, state) for state in ("dark", "due", "live", "retiring", "unaccounted")
    ]
    dark, due, *_ = counts
    assert (due.slots, due.overdue, due.at_risk) == (2, 1, 1)
    assert (due.first_end, due.first_renewal) == (clock.now() + 10 * HOUR, clock.now() - 2 * HOUR)
    assert due.first_at_risk == due.first_renewal + timedelta(minutes=65)  # type: ignore[operator]
    assert (dark.slots, dark.first_end) == (2, clock.now())


def test_a_slot_whose_link_is_purged_has_no_times(ledger: Database, show: Show) -> None:
    row = show("page 1")
    with ledger.write() as tx:
        tx.execute(links.delete().where(links.c.link_id == row.link_id))
    with ledger.read() as tx:
        (count,) = count_slots(tx, CLIENT, NO_RULES)
    assert (count.first_end, count.first_renewal, count.first_at_risk) == (None, None, None)


def test_a_page_has_200_slots_unless_another_size_is_asked_for(ledger: Database, clock: FakeClock) -> None:
    row = {"target": "site", "link_id": "x", "link_seq": 1, "model_id": "m", "audience": "a", "run": "r",
           "published_at": clock.now(), "details": {}, "client_id": CLIENT}  # fmt: skip
    with ledger.write() as tx:
        tx.execute(insert(publications), [{**row, "slot_key": f"{n:064}", "slot": f"{n:03}"} for n in range(201)])
    assert [slot.slot for slot in found(ledger)] == [f"{n:03}" for n in range(200)]


def test_a_name_as_long_as_its_column_is_found(ledger: Database, show: Show) -> None:
    show("s" * 700)
    assert len(found(ledger, SlotFilter(search="S" * 700))) == 1


def test_filters_are_combined(ledger: Database, each_state: dict[str, LinkRow], show: Show) -> None:
    show("elsewhere", target="slack:x")
    dark = SlotFilter(states=frozenset({SlotState.DARK}))
    assert {row.slot for row in found(ledger, dark)} == {"dark", "ended"}
    assert [row.slot for row in found(ledger, SlotFilter(targets=frozenset({"slack:x"})))] == ["elsewhere"]
    assert [row.slot for row in found(ledger, SlotFilter(models=frozenset({each_state["due"].model_id})))] == ["due"]
    keys = frozenset({slot_key(TARGET, "live")})
    assert [row.slot for row in found(ledger, SlotFilter(slot_keys=keys))] == ["live"]
    assert found(ledger, SlotFilter(audiences=frozenset({"portal"}))) == []
    assert found(ledger, SlotFilter(states=dark.states, targets=frozenset({"slack:x"}))) == []
    assert [row.slot for row in found(ledger, SlotFilter(overdue=True))] == ["overdue"]
    assert counted(ledger, which=dark)["total"] == 2


def test_every_database_classifies_alike(ledger_address: str) -> None:
    ledger = ledger_at(ledger_address)
    for number in range(3):
        show_in(ledger, f"page {number}", f"Model{number:06d}")
    rows = found(ledger)
    with ledger.read() as tx:
        now = tx.now()
    change(ledger, rows[0].link_id, minted_at=now - 20 * HOUR, valid_until=now + 4 * HOUR)
    change(ledger, rows[1].link_id, valid_until=now - HOUR)
    assert [(row.state.value, row.overdue) for row in found(ledger)] == [
        ("dark", False),
        ("due", True),
        ("live", False),
    ]
    assert found(ledger)[1].renews_at == now - 8 * HOUR
    assert counted(ledger)["overdue"] == 1
    assert [row.slot for row in found(ledger, SlotFilter(search="PAGE 2"))] == ["page 2"]
    assert found(ledger, SlotFilter(search="%")) == []


def test_all_overdue_slots_of_a_target_are_counted(ledger: Database, show: Show, clock: FakeClock) -> None:
    for number in range(3):
        show(f"page {number}", f"Model{number:06d}")
    clock.advance(14 * 3600)
    show("page 3", "Model000003")
    found = counted(ledger)
    assert (found["total"], found["due"], found["overdue"], found["at_risk"], found["live"]) == (4, 3, 3, 3, 1)
