"""Retiring: slots are cleared at their targets and the links revoked; what cannot be is named."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.durations import Validity
from pme_airflow.errors import LedgerUnavailableError, PMEInputError, SlotError
from pme_airflow.ledger import audit, publications
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.retire import PlacementSlots, RetireRequest, RetireResult, preview_retirement, retire
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import sweep
from pme_airflow.lifecycle.viewer_links import ViewerLinkRequest, mint_for_viewer
from tests.conftest import MODELS, MakeServices
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, demand, mint, rows

ALL = list(MODELS)
ONE, TWO, THREE = ALL[:3]
SECRET_TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"


class Fixed(Shelf):
    """A shelf that cannot be cleared."""

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        raise SlotError("the page is locked")


def shown(services: Services, shelf: Shelf, models: list[str], audience: str = "intranet", dag: str = "dag") -> None:
    """Mint for an audience and publish, as a DAG of that id."""
    items = mint(services, "monday", models, demand(audience=audience)).items
    Publisher(services, RunContext.of_task(dag, "monday", "publish"), shelf).publish(items)


def retired(services: Services, *shelves: Shelf, **what: Any) -> RetireResult:
    at = {shelf.name: shelf for shelf in shelves}
    return retire(services, RunContext.of_command("retire"), RetireRequest(**what, at=at))


def alive(world: World) -> set[str]:
    return {issued.model_id for issued in world.alive()}


def test_a_model_is_cleared_at_every_target_and_revoked(services: Services, world: World) -> None:
    first, second = Shelf("first"), Shelf("second")
    for shelf in (first, second):
        shown(services, shelf, [ONE, TWO])
    result = retired(services, first, second, models=(ONE,))
    assert set(first.shown) == set(second.shown) == {TWO}
    assert alive(world) == {TWO}
    assert result.promise_kept
    assert (result.cleared.total, result.links) == (2, 1)
    assert {(slot["target"], slot["slot"]) for slot in result.cleared} == {("first", ONE), ("second", ONE)}


def test_criteria_narrow_each_other(services: Services, world: World) -> None:
    first, second = Shelf("first"), Shelf("second")
    shown(services, first, [ONE])
    shown(services, second, [ONE], "brokers")
    result = retired(services, first, second, models=(ONE,), audiences=("brokers",))
    assert first.shown
    assert not second.shown
    assert result.links == 1
    assert [row.audience for row in rows(services, "live")] == ["intranet"]


def test_an_audience_is_retired_with_links_that_no_slot_shows(services: Services, world: World) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE])
    mint(services, "tuesday", [TWO])
    result = retired(services, shelf, audiences=("intranet",))
    assert world.alive() == []
    assert (result.cleared.total, result.links) == (1, 2)


def test_a_target_is_retired_and_what_another_one_shows_lives_on(services: Services, world: World) -> None:
    first, second = Shelf("first"), Shelf("second")
    items = mint(services, "monday", [ONE, TWO]).items
    for shelf, chosen in ((first, items), (second, items[:1])):
        Publisher(services, RunContext.of_task("dag", "monday", "publish"), shelf).publish(chosen)
    result = retired(services, first, second, targets=("first",))
    assert not first.shown
    assert set(second.shown) == {ONE}
    assert alive(world) == {ONE}
    assert result.promise_kept


def test_a_target_that_cannot_be_reached_is_named_as_dark(services: Services, world: World) -> None:
    shown(services, Shelf("gone"), [ONE])
    result = retired(services, targets=("gone",))
    assert world.alive() == []
    assert [(slot["target"], slot["slot"]) for slot in result.dark] == [("gone", ONE)]
    assert any(line.startswith("Dark") and ONE in line for line in result.lines())
    with services.database.read() as tx:
        assert publications.shown_at(tx, "gone") == []


def test_a_slot_that_cannot_be_cleared_keeps_its_link_and_is_named(services: Services, world: World) -> None:
    shelf, other = Fixed("fixed"), Shelf("other")
    shown(services, shelf, [ONE])
    shown(services, other, [TWO])
    result = retired(services, shelf, other, audiences=("intranet",))
    assert not result.promise_kept
    assert alive(world) == {ONE}
    assert result.links == 2 - 1
    assert [(slot["slot"], slot["reason"]) for slot in result.failed] == [(ONE, "the page is locked")]
    assert any(line.startswith("NOT cleared") and "locked" in line for line in result.lines())
    assert not other.shown


def test_a_link_that_is_not_revoked_is_named(make_services: MakeServices, world: World) -> None:
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    shelf = Shelf()
    shown(services, shelf, [ONE])
    world.down = True
    begun = clock.monotonic()
    result = retired(services, shelf, models=(ONE,), deadline=timedelta(seconds=15))
    assert clock.monotonic() - begun <= 15
    assert not result.promise_kept
    (row,) = result.not_revoked
    assert any(row.link_id in line and "NOT revoked" in line and "until" in line for line in result.lines())
    assert "1 NOT revoked" in result.summary


@pytest.mark.parametrize("criterion", [{"models": (ONE,)}, {"targets": ("shelf",)}], ids=["model", "target"])
def test_a_retirement_that_was_killed_before_its_sweep_is_revoked_by_running_it_again(
    services: Services, world: World, criterion: dict[str, Any]
) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE])
    retired(services, shelf, sweep=False, **criterion)
    assert alive(world) == {ONE}
    assert retired(services, shelf, **criterion).promise_kept
    assert alive(world) == set()


def test_a_retirement_that_runs_again_names_what_is_still_alive(make_services: MakeServices, world: World) -> None:
    services = make_services(deadline=0.1)
    shelf = Shelf()
    shown(services, shelf, [ONE])
    retired(services, shelf, models=(ONE,), sweep=False)
    world.set_faults({"lost_before": 1.0})
    again = retired(services, shelf, models=(ONE,), deadline=timedelta(seconds=1))
    assert not again.promise_kept
    assert again.not_revoked.total == 1


def test_without_a_sweep_the_links_are_left_to_the_next_one(services: Services, world: World) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE])
    result = retired(services, shelf, models=(ONE,), sweep=False)
    assert result.promise_kept
    assert not shelf.shown
    assert len(world.alive()) == 1
    assert rows(services)[0].retire_at is not None


def test_what_no_placement_names_is_retired_and_the_rest_is_kept(services: Services, world: World) -> None:
    kept, dropped = Shelf("kept"), Shelf("dropped")
    shown(services, kept, [ONE, TWO, THREE])
    shown(services, dropped, [ONE])
    shown(services, Shelf("old"), [ONE], "deleted")
    mint(services, "tuesday", [TWO], demand(audience="deleted"))
    placement = PlacementSlots("intranet", frozenset({"kept"}), frozenset({ONE, TWO}))
    result = retired(services, kept, dropped, unnamed_only=True, placements=(placement,), allow_clearing=True)
    assert set(kept.shown) == {ONE, TWO}
    assert not dropped.shown
    assert [slot["target"] for slot in result.dark] == ["old"]
    assert {(row.audience, row.model_id) for row in rows(services, "live")} == {("intranet", ONE), ("intranet", TWO)}


def test_an_excluded_model_is_named_by_no_placement(services: Services) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE, TWO])
    placement = PlacementSlots("intranet", frozenset({"shelf"}), None, frozenset({ONE}))
    retired(services, shelf, unnamed_only=True, placements=(placement,), publishers=frozenset({"dag"}))
    assert set(shelf.shown) == {TWO}


def test_more_than_half_of_an_audience_is_not_cleared_unless_it_is_allowed(services: Services) -> None:
    shelf = Shelf()
    shown(services, shelf, ALL[:9])
    narrowed = PlacementSlots("intranet", frozenset({"shelf"}), frozenset(ALL[:4]))
    what = {"unnamed_only": True, "placements": (narrowed,), "publishers": frozenset({"dag"})}
    with pytest.raises(PMEInputError, match=r"5 of 9 .*--allow-clearing"):
        retired(services, shelf, **what)
    assert len(shelf.shown) == 9
    retired(services, shelf, **what, allow_clearing=True)
    assert len(shelf.shown) == 4


def test_another_dags_slots_are_not_cleared_by_what_placements_leave_out(services: Services) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE, TWO], "theirs", dag="their_dag")
    with pytest.raises(PMEInputError, match="their_dag"):
        retired(services, shelf, unnamed_only=True)
    assert len(shelf.shown) == 2
    assert retired(services, shelf, unnamed_only=True, publishers=frozenset({"dag"})).links == 0


@pytest.mark.parametrize(
    ("slots", "placements"),
    [(6, (PlacementSlots("intranet", frozenset({"shelf"})),)), (1, ())],
    ids=["many", "no_file"],
)
@pytest.mark.parametrize("meant", [{"audiences": ("gone",)}, {"allow_clearing": True}], ids=["named", "allowed"])
def test_an_audience_that_no_placement_names_any_more_is_cleared_where_that_is_meant(
    services: Services, slots: int, placements: tuple[PlacementSlots, ...], meant: dict[str, Any]
) -> None:
    """A file of placements that names nothing, as the shipped one, must not empty every target."""
    shelf = Shelf()
    shown(services, shelf, ALL[:slots], "gone")
    what = {"unnamed_only": True, "placements": placements, "publishers": frozenset({"dag"})}
    with pytest.raises(PMEInputError, match=r"which no placement names.*--audience gone"):
        retired(services, shelf, **what)
    assert len(shelf.shown) == slots
    assert retired(services, shelf, **what, **meant).cleared.total == slots


def test_what_a_command_published_is_cleared_as_nobodys(services: Services) -> None:
    shelf = Shelf()
    items = mint(services, "monday", [ONE, TWO]).items
    Publisher(services, RunContext.of_command("publish"), shelf).publish(items)
    assert retired(services, shelf, unnamed_only=True, audiences=("intranet",)).cleared.total == 2


def test_another_clients_slots_and_links_are_left_alone(services: Services, world: World) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE])
    services.client.client_id = "another-client"
    result = retired(services, shelf, audiences=("intranet",))
    assert (result.cleared.total, result.links) == (0, 0)
    assert len(world.alive()) == 1
    assert shelf.shown


def test_what_a_placement_still_names_is_said(services: Services) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE, TWO])
    placement = PlacementSlots("intranet", frozenset({"shelf"}))
    result = retired(services, shelf, models=(ONE,), placements=(placement,))
    assert len(result.still_named) == 1
    assert ONE in result.still_named[0]
    assert any("exclude" in line for line in result.lines())


def test_a_request_that_names_nothing_is_refused(services: Services) -> None:
    with pytest.raises(PMEInputError, match="nothing is named"):
        retired(services)


def test_the_preview_names_what_will_be_cleared_and_changes_nothing(services: Services) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE, TWO])
    request = RetireRequest(models=(ONE,))
    assert [publication.slot for publication in preview_retirement(services, request)] == [ONE]
    seen: list[str] = []
    retired(services, shelf, models=(ONE,), on_selected=lambda slots: seen.extend(slot.slot for slot in slots))
    assert seen == [ONE]


def test_a_token_in_a_reason_is_not_stored(services: Services) -> None:
    shelf = Shelf()
    shown(services, shelf, [ONE])
    retired(services, shelf, models=(ONE,), reason=f"leaked as Bearer {SECRET_TOKEN}")
    with services.database.read() as tx:
        reasons = " ".join(str(event["reason"]) for event in audit.export_events(tx))
    assert SECRET_TOKEN not in reasons
    assert "leaked as" in reasons


def test_a_slot_that_another_run_keeps_locked_is_left_to_it_and_named(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pme_airflow.ledger import claims, keys
    from pme_airflow.lifecycle import clearing

    monkeypatch.setattr(clearing, "BUSY_TRIES", 2)
    shelf = Shelf()
    shown(services, shelf, [ONE])
    with services.database.write(RunContext("other")) as tx:
        claims.take(tx, [keys.slot_claim("shelf", ONE)])
    result = retired(services, shelf, models=(ONE,))
    assert result.cleared.total == 0
    assert set(shelf.shown) == {ONE}
    assert [slot["slot"] for slot in result.failed] == [ONE]
    assert not result.promise_kept


def test_a_slot_that_another_run_stops_writing_is_cleared(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from pme_airflow.ledger import claims, keys

    shelf = Shelf()
    shown(services, shelf, [ONE])
    other = RunContext("other")
    with services.database.write(other) as tx:
        claims.take(tx, [keys.slot_claim("shelf", ONE)])

    def ends(_: float) -> None:
        with services.database.write(other) as tx:
            claims.release_all(tx)

    monkeypatch.setattr(services.clock, "sleep", ends)
    assert retired(services, shelf, models=(ONE,)).promise_kept
    assert shelf.shown == {}


def test_a_retired_model_is_logged(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Fixed("fixed")
    shown(services, shelf, [ONE])
    with caplog.at_level(logging.ERROR):
        retired(services, shelf, models=(ONE,))
    assert "fixed" in caplog.text
    assert ONE in caplog.text


# ------------------------------------------------- what is the same on every database


def test_half_of_what_another_dag_shows_may_be_cleared(shared_services: Services) -> None:
    services, shelf = shared_services, Shelf()
    shown(services, shelf, SHARED_MODELS[:2], dag="their_dag")
    placement = PlacementSlots("intranet", frozenset({"shelf"}), frozenset(SHARED_MODELS[:1]))
    assert retired(services, shelf, unnamed_only=True, placements=(placement,)).cleared.total == 1
    assert set(shelf.shown) == set(SHARED_MODELS[:1])


def test_the_share_of_each_audience_is_its_own(shared_services: Services) -> None:
    services, shelf, other = shared_services, Shelf(), Shelf("other")
    shown(services, shelf, SHARED_MODELS[:10])
    shown(services, other, SHARED_MODELS[:10], "brokers")
    placements = tuple(
        PlacementSlots(audience, frozenset({name}), frozenset(SHARED_MODELS[:5]))
        for audience, name in (("intranet", "shelf"), ("brokers", "other"))
    )
    result = retired(services, shelf, other, unnamed_only=True, placements=placements, publishers=frozenset({"dag"}))
    assert result.cleared.total == 10


@pytest.mark.parametrize("criterion", [{"targets": ("shelf",)}, {"publishers": frozenset({"dag"})}],
                         ids=["target", "publisher"])  # fmt: skip
def test_links_that_no_slot_shows_are_left_alone_where_slots_are_named(
    shared_services: Services, criterion: dict[str, Any]
) -> None:
    services, shelf = shared_services, Shelf()
    shown(services, shelf, SHARED_MODELS[:1])
    mint(services, "tuesday", SHARED_MODELS[1:2])
    result = retired(services, shelf, audiences=("intranet",), **criterion)
    assert (result.cleared.total, result.links) == (1, 1)
    assert [row.model_id for row in rows(services, "live")] == SHARED_MODELS[1:2]


def test_the_links_of_an_audiences_viewers_are_retired_with_it(services: Services, world: World) -> None:
    for audience in ("intranet", "public"):
        wanted = ViewerLinkRequest(ONE, audience, "ada", Validity.parse("12h"))
        mint_for_viewer(services, wanted)
    mint(services, "monday", [ONE])
    result = retired(services, models=(ONE,), audiences=("intranet",))
    assert (result.links, result.promise_kept) == (2, True)
    assert [row.audience for row in rows(services, "live")] == [viewer_audience("public")]


def test_the_viewers_of_an_audience_that_is_named_keep_their_links(services: Services) -> None:
    for audience in ("intranet", "gone"):
        mint_for_viewer(services, ViewerLinkRequest(ONE, audience, "ada", Validity.parse("12h")))
    named = PlacementSlots("intranet", frozenset(), frozenset({ONE}))
    assert retired(services, unnamed_only=True, placements=(named,)).links == 1
    assert [row.audience for row in rows(services, "live")] == [viewer_audience("intranet")]


def test_of_what_no_placement_names_the_audiences_given_are_retired_alone(shared_services: Services) -> None:
    services = shared_services
    for audience in ("gone", "lost"):
        mint(services, "monday", SHARED_MODELS[:1], demand(audience=audience))
    assert retired(services, unnamed_only=True, audiences=("gone",)).links == 1
    assert [row.audience for row in rows(services, "live")] == ["lost"]
    assert retired(services, unnamed_only=True).links == 1


def test_a_slot_at_a_target_that_cannot_be_reached_is_recorded_with_the_reason(shared_services: Services) -> None:
    services = shared_services
    shown(services, Shelf("gone"), SHARED_MODELS[:1])
    result = retired(services, targets=("gone",), reason="the contract ended")
    assert list(result.dark) == [{"target": "gone", "slot": SHARED_MODELS[0], "model_id": SHARED_MODELS[0]}]
    (row,) = rows(services)
    with services.database.read() as tx:
        reasons = [str(event["reason"]) for event in audit.history(tx, row.link_id)]
    assert f"gone no longer shows it at {SHARED_MODELS[0]}: the contract ended" in reasons
    assert retired(services, audiences=("intranet",)).links == 0


def test_a_ledger_that_goes_away_after_the_sweep_is_named(
    shared_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    shown(shared_services, shelf, [ONE])

    def away(services: Services, link_ids: object) -> Any:
        raise LedgerUnavailableError("the database went away")

    def swept(*arguments: Any) -> Any:
        monkeypatch.setattr("pme_airflow.lifecycle.retire._rows", away)
        return sweep(*arguments)

    monkeypatch.setattr("pme_airflow.lifecycle.retire.sweep", swept)
    result = retired(shared_services, shelf, models=(ONE,))
    assert str(result.sweep_error) == "the database went away"
    assert not result.promise_kept
