"""Documents that several slots share: written once for all of them, each link still retired on its own count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger import audit, claims, flags, keys, publications
from pme_airflow.ledger.links import by_ids, item_of
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import claims as claims_table
from pme_airflow.lifecycle.clearing import clear_slots
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink
from pme_airflow.targets.base import DocumentSlot
from tests.conftest import MODELS, MakeServices
from tests.support.board import Board
from tests.support.clocks import FakeClock, Waiting
from tests.support.rooms import demand, mint, publish, rows, sweep
from tests.support.together import at_once

ALL = list(MODELS)[:5]
PAGE = "intranet/"


def slot_of(model_id: str) -> str:
    return f"{PAGE}{model_id}"


def recorded(services: Services) -> dict[str, Publication]:
    with services.database.read() as tx:
        return {shown.slot: shown for shown in publications.shown_at(tx, "board")}


def tokens(services: Services) -> dict[str, str]:
    """The token of the link that the ledger has for each slot."""
    return {
        slot: services.open_item(item).token.reveal()
        for slot, shown in recorded(services).items()
        for item in [_item(services, shown)]
    }


def _item(services: Services, shown: Publication) -> dict[str, object]:
    with services.database.read() as tx:
        return item_of(by_ids(tx, [shown.link_id])[shown.link_id])


def no_claims(services: Services) -> bool:
    """Whether the document and its slots are free."""
    wanted = [keys.document_claim("board", PAGE), *(keys.slot_claim("board", slot_of(m)) for m in ALL)]
    with services.database.write(RunContext("next")) as tx:
        free = claims.take(tx, wanted)
        claims.release_all(tx)
    return free == set(wanted)


def test_a_document_is_written_once_for_all_of_its_slots(services: Services, world: World) -> None:
    board = Board()
    result = publish(services, "monday", board, mint(services, "monday", ALL).items)
    assert (result.published.total, result.failed.total) == (5, 0)
    assert board.written == [[slot_of(model_id) for model_id in ALL]]
    assert board.pages[PAGE] == tokens(services)
    assert no_claims(services)
    assert recorded(services)[slot_of(ALL[0])].details == {"edits": 1, "name": ALL[0]}


def test_slots_that_stay_are_written_along_and_keep_their_links(services: Services, world: World) -> None:
    board = Board()
    publish(services, "monday", board, mint(services, "monday", ALL).items)
    before = dict(board.pages[PAGE])
    publish(services, "tuesday", board, mint(services, "tuesday", ALL[:2]).items)
    assert board.written[1] == [slot_of(model_id) for model_id in ALL[:2]]
    assert {slot for slot, token in board.pages[PAGE].items() if before[slot] == token} == set(map(slot_of, ALL[2:]))
    assert board.pages[PAGE] == tokens(services)


def test_one_bad_slot_fails_alone_and_keeps_its_link(services: Services, world: World) -> None:
    board = Board()
    publish(services, "monday", board, mint(services, "monday", ALL).items)
    board.broken = {slot_of(ALL[0]): [SlotError("no room")]}
    board.unread = {slot_of(ALL[1])}
    result = publish(services, "tuesday", board, mint(services, "tuesday", ALL).items)
    assert {(failure["slot"], failure["reason"]) for failure in result.failed} == {
        (slot_of(ALL[0]), "no room"), (slot_of(ALL[1]), "not shown"),
    }  # fmt: skip
    assert result.published.total == 3
    assert len(world.alive()) == 10
    assert no_claims(services)


def test_a_slot_that_fails_for_a_moment_is_written_again(services: Services) -> None:
    board = Board()
    board.broken = {slot_of(ALL[0]): [SlotError("busy", passing=True)] * 2}
    assert publish(services, "monday", board, mint(services, "monday", ALL).items).published.total == 5
    assert len(board.written) == 3


def test_a_document_that_cannot_be_written_fails_every_slot(services: Services) -> None:
    def fail(slots: Sequence[DocumentSlot]) -> None:
        raise ValueError("Bearer+secret")

    board = Board()
    board.before = fail
    result = publish(services, "monday", board, mint(services, "monday", ALL).items)
    assert [failure["reason"] for failure in result.failed] == ["the target failed (ValueError)"] * 5
    assert no_claims(services)


def test_a_slot_that_is_cleared_is_taken_out_and_its_link_alone_retired(services: Services) -> None:
    board = Board()
    publish(services, "monday", board, mint(services, "monday", ALL).items)
    Publisher(services, RunContext("dag/tuesday/publish/-1"), board).retire_others("intranet", ALL[1:])
    assert set(board.pages[PAGE]) == set(recorded(services)) == {slot_of(model_id) for model_id in ALL[1:]}
    assert board.written[1] == [slot_of(ALL[0])]
    assert [row.model_id for row in rows(services) if row.retire_at is not None] == [ALL[0]]
    assert no_claims(services)


def test_a_slot_that_cannot_be_cleared_is_named_and_the_others_are_cleared(services: Services) -> None:
    board = Board()
    publish(services, "monday", board, mint(services, "monday", ALL).items)
    board.broken = {slot_of(ALL[0]): [SlotError("locked")]}
    result = PublishResult("board")
    clear_slots(services, RunContext("dag/x/y/-1"), board, list(recorded(services).values()), "not wanted", result)
    assert [(failure["slot"], failure["reason"]) for failure in result.failed] == [(slot_of(ALL[0]), "locked")]
    assert set(board.pages[PAGE]) == set(recorded(services)) == {slot_of(ALL[0])}


def test_a_dead_link_is_dark_in_the_document(services: Services) -> None:
    board = Board()
    publish(services, "monday", board, mint(services, "monday", ALL).items)
    with services.database.write(RunContext("leak")) as tx:
        flags.flag(tx, "leaked", models=ALL[:1])
    sweep(services)
    publish(services, "tuesday", board, mint(services, "tuesday", ALL[1:]).items)
    assert board.pages[PAGE][slot_of(ALL[0])] == ""


@pytest.mark.parametrize(("seconds", "waited", "shown"), [(10, 10, 5), (51, 50, 0)])
def test_a_document_that_another_run_writes_is_waited_for_50_seconds(
    make_services: MakeServices, world: World, seconds: float, waited: float, shown: int
) -> None:
    clock = Waiting()
    world.freeze_clock(clock.now())
    services = make_services(clock)
    items = mint(services, "monday", ALL).items
    other, claim = RunContext("other"), [keys.document_claim("board", PAGE)]
    with services.database.write(other) as tx:
        claims.take(tx, claim)
    before = clock.slept

    def hold_or_release() -> None:
        with services.database.write(other) as tx:
            if clock.slept - before < seconds:
                claims.extend(tx)
            else:
                claims.release(tx, claim)

    clock.meanwhile = hold_or_release
    result = publish(services, "monday", Board(), items)
    assert clock.slept - before == pytest.approx(waited, abs=0.01)
    assert (result.published.total, result.failed.total) == (shown, 5 - shown)
    assert all("another run kept this document locked" in failure["reason"] for failure in result.failed)
    assert not any(failure["permanent"] for failure in result.failed)


def test_a_late_writer_writes_the_document_again_with_the_newest_links(
    make_services: MakeServices, world: World
) -> None:
    """The first write claims the document, sleeps until its claim has passed, and writes after another run has."""
    services, other, board = make_services(), make_services(), Board()
    monday = mint(services, "monday", ALL).items
    tuesday = mint(other, "tuesday", ALL[1:]).items

    def late(slots: Sequence[DocumentSlot]) -> None:
        board.before = lambda slots: None
        with other.database.write(RunContext("time passes")) as tx:
            tx.execute(update(claims_table).values(expires_at=other.clock.now() - timedelta(seconds=1)))
        publish(other, "tuesday", board, tuesday)

    board.before = late
    assert list(publish(services, "monday", board, monday).failed) == []
    assert board.pages[PAGE] == tokens(services)
    newest = {item["link_id"] for item in (monday[0], *tuesday)}
    assert {shown.link_id for shown in recorded(services).values()} == newest
    assert no_claims(services)


def test_two_runs_at_once_undo_nothing_of_each_other(make_services: MakeServices, world: World) -> None:
    board = Board()

    def run(name: str, models: list[str], wait: Callable[[], None]) -> None:
        services = make_services()
        items = mint(services, name, models).items
        wait()
        assert list(publish(services, name, board, items).failed) == []

    at_once(*(partial(run, f"run{index}", ALL[index : index + 3]) for index in range(3)))
    services = make_services()
    assert set(board.pages[PAGE]) == {slot_of(model_id) for model_id in ALL}
    assert board.pages[PAGE] == tokens(services)
    assert no_claims(services)


def test_a_slot_that_another_dag_shows_another_audience_is_left_alone(services: Services) -> None:
    class Window(Board):
        def slots(self, item: object) -> list[str]:
            return ["window/1"]

    window = Window()
    publish(services, "monday", window, mint(services, "monday", ALL[:1]).items)
    items = mint(services, "monday", ALL[:1], demand(audience="brokers")).items
    (failed,) = Publisher(services, RunContext.of_task("other_dag", "x", "publish"), window).publish(items).failed
    assert "published by DAG dag" in failed["reason"]
    assert {shown.audience for shown in recorded(services).values()} == {"intranet"}


def test_items_of_one_slot_are_put_one_after_the_other(services: Services, world: World) -> None:
    class Window(Board):
        def slots(self, item: object) -> list[str]:
            return ["window/1"]

    window = Window()
    result = publish(services, "monday", window, mint(services, "monday", ALL).items)
    assert result.published.total + result.unchanged.total == 5
    assert list(window.pages) == ["window/"]
    assert window.pages["window/"]["window/1"] in {issued.token for issued in world.alive()}


def test_only_slots_whose_names_begin_with_the_documents_are_in_it(services: Services) -> None:
    board = Board()
    for audience in ("intranet", "intranet_2", "intranet%"):
        items = mint(services, "monday", ALL[:1], demand(audience=audience)).items
        publish(services, "monday", board, items)
    assert {page: list(slots) for page, slots in board.pages.items()} == {
        f"{audience}/": [f"{audience}/{ALL[0]}"] for audience in ("intranet", "intranet_2", "intranet%")
    }


def test_a_slot_in_another_form_is_written_anew_at_once(services: Services) -> None:
    class Repainted(Board):
        def is_current(self, shown: Publication) -> bool:
            return shown.slot != slot_of(ALL[0])

    board = Repainted()
    items = mint(services, "monday", ALL).items
    assert publish(services, "monday", board, items).published.total == 5
    result = publish(services, "later", board, items)
    assert (result.published.total, result.unchanged.total) == (1, 4)
    assert board.written[-1] == [slot_of(ALL[0])]


# ------------------------------------------------- what is the same on every database


@pytest.mark.parametrize("grace", [None, timedelta(0)], ids=["usual", "none"])
def test_a_link_that_is_cleared_is_retired_with_the_reason_and_the_grace_that_were_given(
    shared_services: Services, grace: timedelta | None
) -> None:
    services, board = shared_services, Board()
    publish(services, "monday", board, mint(services, "monday", ALL).items)
    result = PublishResult("board")
    going = [recorded(services)[slot_of(ALL[0])]]
    clear_slots(services, RunContext("dag/x/y/-1"), board, going, "not wanted", result, grace)
    assert [entry["slot"] for entry in result.removed] == [slot_of(ALL[0])]
    (gone,) = [row for row in rows(services) if row.retire_at is not None]
    with services.database.read() as tx:
        withdrawn, retiring = audit.history(tx, gone.link_id)[-2:]
    assert withdrawn["reason"] == f"board no longer shows it at {slot_of(ALL[0])}: not wanted"
    assert gone.retire_at is not None
    left = gone.retire_at - datetime.fromisoformat(str(retiring["at"]).replace("Z", "+00:00"))
    assert abs(left - (timedelta(minutes=15) if grace is None else grace)) < timedelta(seconds=1)


def test_an_old_link_that_remains_in_a_document_has_no_grace(shared_services: Services) -> None:
    services, board = shared_services, Board()
    board.remains = True
    for run in ("monday", "tuesday"):
        publish(services, run, board, mint(services, run, ALL[:1]).items)
    _, oldest = rows(services)
    assert oldest.retire_at == recorded(services)[slot_of(ALL[0])].published_at


def test_a_leaked_link_is_put_into_no_document_and_one_that_shows_a_later_link_stays(
    shared_services: Services,
) -> None:
    services, board = shared_services, Board()
    monday, tuesday = (mint(services, run, ALL[:2]).items for run in ("monday", "tuesday"))
    publish(services, "tuesday", board, tuesday)
    result = publish(services, "monday", board, monday)
    assert (result.published.total, result.unchanged.total, result.failed.total) == (0, 2, 0)
    assert len(board.written) == 1
    wednesday = mint(services, "wednesday", ALL[:2]).items
    with services.database.write(RunContext("leak")) as tx:
        flags.flag(tx, "leaked", link_ids=[wednesday[0]["link_id"]])
    result = publish(services, "wednesday", board, wednesday)
    assert [(failure["slot"], failure["permanent"]) for failure in result.failed] == [(slot_of(ALL[0]), True)]
    assert "revoked, expired or flagged" in result.failed[0]["reason"]
    assert [entry["slot"] for entry in result.published] == [slot_of(ALL[1])]
    assert no_claims(services)


def test_a_kept_link_that_is_over_is_dark_in_the_document(shared_services: Services, shared_world: World) -> None:
    services, board = shared_services, Board()
    publish(services, "monday", board, mint(services, "monday", ALL[:1], demand("1h")).items)
    shared_world.freeze_clock(services.clock.now() + timedelta(hours=2))
    publish(services, "tuesday", board, mint(services, "tuesday", ALL[1:2]).items)
    assert board.pages[PAGE][slot_of(ALL[0])] == ""
    assert board.pages[PAGE][slot_of(ALL[1])]


def test_a_clock_that_is_fast_darkens_no_link_that_stays_in_the_document(shared_services: Services) -> None:
    services, board = shared_services, Board()
    publish(services, "monday", board, mint(services, "monday", ALL[:1], demand("8m")).items)
    fast = replace(services, clock=FakeClock(services.clock.now() + timedelta(minutes=10)))
    publish(fast, "tuesday", board, mint(services, "tuesday", ALL[1:2]).items)
    assert all(board.pages[PAGE][slot_of(model_id)] for model_id in ALL[:2])


def test_a_document_whose_slot_another_run_writes_waits_for_it(shared_services: Services) -> None:
    services, board, clock = shared_services, Board(), Waiting()
    items = mint(services, "monday", ALL).items
    other, claim = RunContext("other"), [keys.slot_claim("board", slot_of(ALL[2]))]
    with services.database.write(other) as tx:
        claims.take(tx, claim)

    def release() -> None:
        with services.database.write(other) as tx:
            claims.release(tx, claim)

    clock.meanwhile = release
    result = publish(replace(services, clock=clock), "monday", board, items)
    assert (result.published.total, result.failed.total) == (5, 0)
    assert clock.slept == pytest.approx(0.5)
    assert no_claims(services)


def test_a_document_is_free_again_after_a_defect(shared_services: Services) -> None:
    services, board = shared_services, Board()
    items = mint(services, "monday", ALL).items

    def opened(item: Mapping[str, Any]) -> OpenedLink:
        raise RuntimeError("out of memory, say")

    with pytest.raises(RuntimeError, match="out of memory"):
        Publisher(services, RunContext("dag/monday/publish/-1"), board, opened).publish(items)
    assert no_claims(services)
    assert recorded(services) == {}


def test_a_slot_that_another_dag_shows_stops_no_other_slot_of_the_document(shared_services: Services) -> None:
    class Window(Board):
        def slots(self, item: Mapping[str, Any]) -> list[str]:
            return [f"{PAGE}{item['model_id']}"]

    services, window = shared_services, Window()
    publish(services, "monday", window, mint(services, "monday", ALL[:1]).items)
    items = mint(services, "monday", ALL[:2], demand(audience="brokers")).items
    result = Publisher(services, RunContext.of_task("other_dag", "x", "publish"), window).publish(items)
    assert [failure["slot"] for failure in result.failed] == [slot_of(ALL[0])]
    assert [entry["slot"] for entry in result.published] == [slot_of(ALL[1])]
    assert {slot: shown.audience for slot, shown in recorded(services).items()} == {
        slot_of(ALL[0]): "intranet", slot_of(ALL[1]): "brokers"
    }  # fmt: skip
    assert no_claims(services)


def test_a_later_link_of_another_audience_is_a_failure_and_not_unchanged(services: Services) -> None:
    class Window(Board):
        def slots(self, item: Mapping[str, Any]) -> list[str]:
            return [f"{PAGE}{item['model_id']}"]

    window = Window()
    older = mint(services, "monday", ALL[:1], demand(audience="brokers")).items
    publish(services, "monday", window, mint(services, "monday", ALL[:1]).items)
    result = publish(services, "monday", window, older)
    assert "to audience intranet" in result.failed[0]["reason"]
    assert (result.failed.total, result.unchanged.total) == (1, 0)
    assert no_claims(services)
