from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from pme_airflow.ledger import flags
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.gauges import slot_gauges
from pme_airflow.ledger.read_model.rules import Rules, SlotState
from pme_airflow.ledger.read_model.slots import ALL_SLOTS, SlotFilter
from pme_airflow.ledger.tables import publications
from pme_airflow.lifecycle import overview
from pme_airflow.lifecycle.overview import LedgerView, TimelineRequest
from pme_airflow.sealing import OpenedLink, Sealer
from pme_airflow.secrets import AccessToken, SecretStr
from tests.ledger.read_model.conftest import show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, OTHER, change, ledger_in_memory, mint, task


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> Database:
    return ledger_in_memory(clock)


def view_of(ledger: Database, client_id: str = CLIENT) -> LedgerView:
    return LedgerView("pme_default", client_id, ledger, Sealer.of_connection(SecretStr("a secret")), Rules())


@pytest.fixture
def view(ledger: Database) -> LedgerView:
    return view_of(ledger)


def test_a_page_of_slots_counts_all_and_what_matches(ledger: Database, view: LedgerView, clock: FakeClock) -> None:
    rows = [show_in(ledger, f"page {number}", f"Model{number:06d}") for number in range(5)]
    change(ledger, rows[0].link_id, valid_until=clock.now())
    found = overview.slots(view, ALL_SLOTS, page=2, page_size=2)
    assert (found["matching"], found["page"], found["pages"], len(found["slots"])) == (5, 2, 3, 2)
    assert found["counts"] == {
        "total": 5, "dark": 1, "unaccounted": 0, "retiring": 0, "due": 0, "live": 4, "overdue": 0, "at_risk": 0
    }  # fmt: skip
    dark = overview.slots(view, SlotFilter(states=frozenset({SlotState.DARK})))
    assert (dark["matching"], dark["counts"]["total"]) == (1, 5)
    (slot,) = dark["slots"]
    assert (slot["slot"], slot["state"], slot["valid_until"]) == ("page 0", "dark", "2026-05-01T12:00:00Z")


def test_no_answer_contains_a_sealed_text(ledger: Database, view: LedgerView) -> None:
    row = show_in(ledger, "page 1")
    with ledger.write(task()) as tx:
        flags.flag(tx, "leaked", link_ids=[row.link_id])
    change(ledger, mint(ledger).link_id, irrevocable=True)
    answers = [
        overview.slots(view, ALL_SLOTS), overview.timeline(view, TimelineRequest()), overview.leaks(view),
        overview.health(view), overview.link_story(view, row.link_id),
    ]  # fmt: skip
    text = json.dumps(answers, default=str)
    assert row.link_id in text
    assert "pme-sealed" not in text


def test_a_links_story_is_its_connections_alone(ledger: Database, view: LedgerView) -> None:
    row = show_in(ledger, "page 1")
    story = overview.link_story(view, row.link_id)
    assert story is not None
    assert [event["event"] for event in story["events"]] == ["requested", "made", "published"]
    assert [slot["slot"] for slot in story["slots"]] == ["page 1"]
    assert story["renews_at"] == "2026-05-02T00:00:00Z"
    assert overview.link_story(view, "lnk_none") is None
    assert overview.link_story(view_of(ledger, OTHER), row.link_id) is None


def test_exposure_of_a_live_leak_goes_on(ledger: Database, view: LedgerView, clock: FakeClock) -> None:
    row = show_in(ledger, "page 1")
    with ledger.write(task()) as tx:
        flags.flag(tx, "leaked", link_ids=[row.link_id])
    clock.advance(42)
    alive = overview.leaks(view)["flagged"]
    assert (alive["total"], alive["rows"][0]["exposure_seconds"], alive["rows"][0]["slots"]) == (1, 42.0, 1)


def test_the_budget_ends_with_the_first_link(ledger: Database, view: LedgerView, clock: FakeClock) -> None:
    show_in(ledger, "page 1")
    clock.advance(3600)
    show_in(ledger, "page 2", "ModelBBBBBB")
    (audience,) = overview.health(view)["audiences"]
    assert audience["budget_seconds"] == 23 * 3600
    assert audience["first_end"] == "2026-05-02T12:00:00Z"


def test_links_that_no_key_opens_are_counted(ledger: Database, view: LedgerView) -> None:
    mint(ledger)
    assert overview.health(view)["links_that_no_key_opens"] == 1


@pytest.mark.parametrize(("hours", "well"), [(1, True), (13, True), (13.2, False), (24, False)])
def test_what_is_dark_at_risk_or_overdue_is_not_well(
    ledger: Database, view: LedgerView, clock: FakeClock, hours: float, well: bool
) -> None:
    show_in(ledger, "page 1")
    clock.advance(hours * 3600)
    assert overview.is_well(overview.health(view)) is well


def test_a_short_link_is_at_risk_before_its_renewal_is_overdue_as_the_gauges_count_it(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    row = show_in(ledger, "page 1")
    change(ledger, row.link_id, valid_until=clock.now() + timedelta(hours=2))
    (audience,) = overview.health(view)["audiences"]
    assert (audience["counts"]["at_risk"], audience["first_at_risk"]) == (0, "2026-05-01T13:45:30Z")
    clock.advance(105.5 * 60)
    found = overview.health(view)
    assert (found["counts"]["at_risk"], found["counts"]["overdue"], overview.is_well(found)) == (1, 0, False)
    assert [slot["at_risk"] for slot in overview.slots(view, ALL_SLOTS)["slots"]] == [True]
    with ledger.read() as tx:
        (gauges,) = slot_gauges(tx, CLIENT, view.rules)
    assert (gauges.at_risk, overview.json_of(gauges.first_at_risk)) == (1, audience["first_at_risk"])


def test_a_timeline_has_each_slots_links_and_gaps(ledger: Database, view: LedgerView, clock: FakeClock) -> None:
    show_in(ledger, "page 1")
    show_in(ledger, "page 2", "ModelBBBBBB")
    clock.advance(25 * 3600)
    answer: dict[str, Any] = overview.timeline(view, TimelineRequest(SlotFilter(search="page 1")))
    (slot,) = answer["slots"]
    assert answer["matching"] == 1
    assert [gap["end"] for gap in slot["gaps"]] == [answer["now"]]
    assert slot["links"][0]["planned_renewal"] == "2026-05-02T00:00:00Z"


def test_the_last_page_of_a_timeline_may_be_short(
    ledger: Database, view: LedgerView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "TIMELINE_SIZE", 2)
    for number in range(3):
        show_in(ledger, f"page {number}", f"ModelBBBBB{number}")
    found = [overview.timeline(view, TimelineRequest(page=page)) for page in (1, 2)]
    assert [answer["pages"] for answer in found] == [2, 2]
    assert sorted(slot["slot"] for answer in found for slot in answer["slots"]) == ["page 0", "page 1", "page 2"]


def test_a_page_has_200_slots_and_a_timeline_50_of_the_last_two_days(view: LedgerView) -> None:
    assert (overview.PAGE_SIZE, overview.TIMELINE_SIZE) == (200, 50)
    assert TimelineRequest() == TimelineRequest(ALL_SLOTS, timedelta(hours=48), 1)
    empty = overview.slots(view, ALL_SLOTS)
    assert (empty["page"], empty["pages"], empty["page_size"], empty["matching"]) == (1, 1, 200, 0)
    history = overview.timeline(view, TimelineRequest())
    assert (history["page"], history["pages"], history["slots"], history["runs"]) == (1, 1, [], [])
    assert (history["start"], history["end"]) == ("2026-04-29T12:00:00Z", "2026-05-01T12:00:00Z")


def test_the_order_of_slots_does_not_change_how_many_match(ledger: Database, view: LedgerView) -> None:
    for number in range(2):
        show_in(ledger, f"page {number}", f"Model{number:06d}")
    found = overview.slots(view, SlotFilter(order="slot", descending=True))
    assert ([slot["slot"] for slot in found["slots"]], found["matching"]) == (["page 1", "page 0"], 2)
    assert found["groups"][0]["slots"] == 2


def test_an_exposure_ends_with_the_link_and_is_never_negative(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    ended, early = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    change(ledger, ended.link_id, flagged_at=clock.now(), valid_until=clock.now() + timedelta(seconds=30))
    change(ledger, early.link_id, flagged_at=clock.now(), revoked_at=clock.now() - timedelta(seconds=9))
    clock.advance(60)
    rows = {row["link_id"]: row for row in overview.leaks(view)["flagged"]["rows"]}
    assert (rows[ended.link_id]["exposure_seconds"], rows[ended.link_id]["slots"]) == (30.0, 0)
    assert rows[early.link_id]["exposure_seconds"] == 0.0
    assert {row["conn_id"] for row in rows.values()} == {"pme_default"}
    assert overview.leaked_link(mint(ledger, model_id="ModelCCCCCC"), clock.now())["exposure_seconds"] is None


def test_an_audience_is_judged_by_its_own_slots_that_are_not_dark(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    dark = show_in(ledger, "page 1")
    show_in(ledger, "page 2", "ModelBBBBBB")
    other = show_in(ledger, "page 3", "ModelCCCCCC")
    later = show_in(ledger, "page 4", "ModelDDDDDD", target="another site")
    change(ledger, dark.link_id, valid_until=clock.now() - timedelta(hours=1))
    change(ledger, later.link_id, valid_until=later.valid_until + timedelta(hours=2))
    with ledger.write() as tx:
        tx.execute(publications.update().where(publications.c.link_id == other.link_id).values(audience="brokers"))
    change(ledger, other.link_id, valid_until=clock.now())
    brokers, intranet = overview.health(view)["audiences"]
    assert (brokers["audience"], brokers["counts"]["total"], brokers["counts"]["dark"]) == ("brokers", 1, 1)
    assert (brokers["first_end"], brokers["first_at_risk"], brokers["budget_seconds"]) == (None, None, None)
    assert (intranet["audience"], intranet["counts"]["total"], intranet["counts"]["dark"]) == ("intranet", 3, 1)
    assert (intranet["first_end"], intranet["budget_seconds"]) == ("2026-05-02T12:00:00Z", 86400)
    assert intranet["first_at_risk"] == "2026-05-02T01:05:00Z"
    assert intranet["first_renewal"] == "2026-05-01T11:30:00Z"


@pytest.mark.parametrize("late", ["dark", "at_risk", "overdue", "work"])
def test_each_kind_of_trouble_alone_is_not_well(late: str) -> None:
    counts = dict.fromkeys(("dark", "at_risk", "overdue"), 0)
    assert overview.is_well({"counts": counts, "overdue": []})
    work = [{"kind": "leaks"}] if late == "work" else []
    assert not overview.is_well({"counts": {**counts, late: 1}, "overdue": work})


def test_links_that_a_key_opens_are_not_counted_among_those_that_none_opens(ledger: Database, view: LedgerView) -> None:
    opened = OpenedLink(SecretStr("https://x.test/"), AccessToken("t0ken" * 5))
    row = mint(ledger)
    change(ledger, row.link_id, sealed=view.sealer.seal(opened, row.link_id, row.model_id))
    for number in range(2):
        mint(ledger, model_id=f"Model{number:06d}")
    assert overview.health(view)["links_that_no_key_opens"] == 2


def test_values_become_json_however_deep_they_stand() -> None:
    @dataclass(frozen=True)
    class Found:
        state: SlotState
        times: tuple[datetime, ...]

    found = Found(SlotState.DUE, (FakeClock().now(),))
    assert overview.json_of([found, None, 1]) == [{"state": "due", "times": ["2026-05-01T12:00:00Z"]}, None, 1]
    assert overview.json_of(Found) is Found
