"""Make before break: a slot's new link is in place before the old one is retired, and nothing shown is ever revoked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import update

from pme_airflow.dev.emulator import World
from pme_airflow.embed_params import EmbedParams
from pme_airflow.errors import SlotError
from pme_airflow.ledger import flags, publications
from pme_airflow.ledger.model_names import known_names
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import claims, links
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.retire import retire_targets
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.base import ShownLink, SlotResult
from tests.conftest import MODELS, MakeServices
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.clocks import FakeClock
from tests.support.ledgers import change
from tests.support.rooms import Shelf, mint, publish, rows, sweep
from tests.support.together import at_once

ONE, TWO = list(MODELS)[:2]


def sweep_after_grace(services: Services) -> None:
    """Let the grace pass, and sweep."""
    with services.database.write() as tx:
        moved = links.c.retire_at.is_not(None)
        for link in rows(services):
            if link.retire_at is not None:
                earlier = link.retire_at - timedelta(minutes=16)
                tx.execute(update(links).where(links.c.seq == link.seq, moved).values(retire_at=earlier))
    sweep(services)


def alive(world: World) -> set[str]:
    return {issued.token for issued in world.alive()}


def test_the_old_link_is_retired_after_the_new_one_is_shown(services: Services, world: World) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    old = shelf.shown[ONE]
    publish(services, "tuesday", shelf, mint(services, "tuesday", [ONE]).items)
    assert shelf.shown[ONE] != old
    sweep(services)
    assert old in alive(world)
    newest, oldest = rows(services, "live")
    assert newest.retire_at is None
    assert oldest.retire_at is not None
    sweep_after_grace(services)
    assert alive(world) == {shelf.shown[ONE]}


def test_a_failed_publish_leaves_the_old_link_live_however_often(services: Services, world: World) -> None:
    shelf = Shelf()
    publish(services, "day0", shelf, mint(services, "day0", [ONE, TWO]).items)
    old = dict(shelf.shown)
    shelf.broken.add(ONE)
    for day in range(1, 6):
        outcome = publish(services, f"day{day}", shelf, mint(services, f"day{day}", [ONE, TWO]).items)
        assert [failed["slot"] for failed in outcome.failed] == [ONE]
        sweep_after_grace(services)
    assert shelf.shown[ONE] == old[ONE]
    assert shelf.shown[ONE] in alive(world)
    assert shelf.shown[TWO] in alive(world)
    assert shelf.shown[TWO] != old[TWO]


def test_a_target_that_confirms_and_does_not_show_has_failed(services: Services) -> None:
    shelf = Shelf()
    shelf.deaf.add(ONE)
    outcome = publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    assert outcome.failed[0]["slot"] == ONE
    assert outcome.published == []


def test_a_passing_failure_is_tried_again(services: Services) -> None:
    shelf = Shelf()
    shelf.broken.add(ONE)
    shelf.passing = True
    outcome = publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    assert len(shelf.puts) == 3
    assert not outcome.permanent


def test_a_link_shown_in_two_slots_lives_until_both_have_moved_on(services: Services, world: World) -> None:
    first, second = Shelf("first"), Shelf("second")
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", first, items)
    publish(services, "monday", second, items)
    old = first.shown[ONE]
    later = mint(services, "tuesday", [ONE]).items
    publish(services, "tuesday", first, later)
    sweep_after_grace(services)
    assert old in alive(world)
    publish(services, "tuesday", second, later)
    sweep_after_grace(services)
    assert old not in alive(world)


def test_a_slot_never_goes_back_to_an_older_link(services: Services) -> None:
    shelf = Shelf()
    old = mint(services, "monday", [ONE]).items
    new = mint(services, "tuesday", [ONE]).items
    publish(services, "tuesday", shelf, new)
    outcome = publish(services, "monday", shelf, old)
    assert outcome.published == []
    assert fingerprint(AccessToken(shelf.shown[ONE])) == new[0]["fingerprint"]


def test_a_link_too_late_for_its_slot_is_retired(services: Services, world: World) -> None:
    shelf = Shelf()
    old, new = mint(services, "monday", [ONE]).items, mint(services, "tuesday", [ONE]).items
    publish(services, "tuesday", shelf, new)
    publish(services, "monday", shelf, old)
    sweep_after_grace(services)
    assert alive(world) == {shelf.shown[ONE]}


def test_a_link_too_late_for_one_target_lives_where_another_shows_it(services: Services, world: World) -> None:
    early, late = Shelf("early"), Shelf("late")
    old, new = mint(services, "monday", [ONE]).items, mint(services, "tuesday", [ONE]).items
    publish(services, "tuesday", early, new)
    publish(services, "monday", early, old)
    publish(services, "monday", late, old)
    sweep_after_grace(services)
    assert alive(world) == {early.shown[ONE], late.shown[ONE]}


def test_a_late_writer_that_overwrote_a_newer_link_puts_it_back(
    services: Services, make_services: MakeServices, world: World
) -> None:
    shelf = Shelf()
    old, new = mint(services, "monday", [ONE]).items, mint(services, "tuesday", [ONE]).items
    with _late(shelf, make_services(), new):
        outcome = publish(services, "monday", shelf, old)
    assert [about["link_id"] for about in outcome.published] == [new[0]["link_id"]]
    assert fingerprint(AccessToken(shelf.shown[ONE])) == new[0]["fingerprint"]
    with services.database.read() as tx:
        (shown,) = publications.shown_at(tx, "shelf")
    assert shown.link_id == new[0]["link_id"]
    sweep_after_grace(services)
    assert alive(world) == {shelf.shown[ONE]}


def test_a_late_writer_that_cannot_put_it_back_does_so_at_its_next_try(
    services: Services, make_services: MakeServices, world: World
) -> None:
    shelf = Shelf()
    old, new = mint(services, "monday", [ONE]).items, mint(services, "tuesday", [ONE]).items
    with _late(shelf, make_services(), new, lambda: shelf.broken.add(ONE)):
        assert publish(services, "monday", shelf, old).failed
    assert fingerprint(AccessToken(shelf.shown[ONE])) == old[0]["fingerprint"]
    shelf.broken.clear()
    publish(services, "monday", shelf, old)
    assert fingerprint(AccessToken(shelf.shown[ONE])) == new[0]["fingerprint"]
    sweep_after_grace(services)
    assert alive(world) == {shelf.shown[ONE]}


@contextmanager
def _late(
    shelf: Shelf, other: Services, items: list[dict[str, Any]], then: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """The first put claims its slot, sleeps until the claim has passed, and writes after another run has."""
    put = shelf.put

    def late(slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        patch.stop()
        with other.database.write() as tx:
            tx.execute(update(claims).values(expires_at=other.clock.now() - timedelta(seconds=1)))
        publish(other, "tuesday", shelf, items)
        details = put(slot, link, previous)
        then()
        return details

    patch = mock.patch.object(shelf, "put", late)
    patch.start()
    yield


def test_a_slot_that_is_not_listed_any_more_is_cleared_and_its_link_retired(services: Services, world: World) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", [ONE, TWO]).items)
    publisher = Publisher(services, RunContext("dag/tuesday/publish/-1"), shelf)
    publisher.publish(mint(services, "tuesday", [ONE]).items)
    publisher.retire_others("intranet", [ONE])
    assert set(shelf.shown) == {ONE}
    sweep_after_grace(services)
    assert alive(world) == {shelf.shown[ONE]}


def test_a_target_no_placement_names_any_more_is_retired(services: Services, world: World) -> None:
    kept, dropped = Shelf("kept"), Shelf("dropped")
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", dropped, items)
    later = mint(services, "tuesday", [ONE]).items
    publish(services, "tuesday", kept, later)
    gone = retire_targets(services, RunContext("dag/tuesday/retire/-1"), "intranet", ["kept"], ["dag"])
    assert [shown.target for shown in gone] == ["dropped"]
    sweep_after_grace(services)
    assert alive(world) == {kept.shown[ONE]}


def test_another_dags_target_is_left_alone(services: Services) -> None:
    publish(services, "monday", Shelf("theirs"), mint(services, "monday", [ONE]).items)
    assert retire_targets(services, RunContext("x/y/z/-1"), "intranet", ["kept"], ["another_dag"]) == []


def test_two_publishers_at_once_leave_one_newest_link_everywhere(make_services: MakeServices, world: World) -> None:
    shelf = Shelf()

    def run(name: str, wait: Callable[[], None]) -> None:
        services = make_services()
        services.database.prepare()
        wait()
        publish(services, name, shelf, mint(services, name, list(MODELS)[:8]).items)

    at_once(*(partial(run, f"run{index}") for index in range(3)))
    services = make_services()
    newest = {}
    for link in rows(services, "live"):
        newest.setdefault(link.model_id, link)
    for model_id, token in shelf.shown.items():
        assert fingerprint(AccessToken(token)) == newest[model_id].fingerprint
    assert len(shelf.shown) == 8
    sweep_after_grace(services)
    assert alive(world) == set(shelf.shown.values())


def test_a_publication_of_a_flagged_link_is_refused(services: Services) -> None:

    items = mint(services, "monday", [ONE]).items
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", link_ids=[items[0]["link_id"]])
    outcome = publish(services, "monday", Shelf(), items)
    assert "flagged" in outcome.failed[0]["reason"]


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize(("ended", "dead"), [(timedelta(minutes=20), True), (timedelta(minutes=5), False)])
def test_a_link_that_has_ended_is_not_called_published_although_no_sweep_has_closed_it(
    make_services: MakeServices, shown: bool, ended: timedelta, dead: bool
) -> None:
    """A run may publish a day after its mint; a worker's clock that is ten minutes fast ends no link."""
    services, shelf = make_services(), Shelf()
    (item,) = mint(services, "monday", [ONE]).items
    if shown:
        publish(services, "monday", shelf, [item])
    change(services.database, str(item["link_id"]), valid_until=services.clock.now() - ended)
    result = publish(make_services(), "tuesday", shelf, [item])
    assert bool(result.failed) is dead
    if dead:
        assert "revoked, expired or flagged" in result.failed[0]["reason"]


def test_the_names_that_a_target_shows_are_kept_in_the_ledger(services: Services) -> None:
    shelf = Shelf()
    shelf.shows_names = True
    publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    with services.database.read() as tx:
        assert known_names(tx, services.client.client_id, [ONE, TWO]) == {ONE: MODELS[ONE]}


def test_parameters_are_appended_to_the_links_that_are_shown(services: Services) -> None:
    shown: dict[str, ShownLink] = {}

    class Seen(Shelf):
        def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
            shown[slot] = link
            return super().put(slot, link, previous)

    params = EmbedParams.parse({"play": 1, TWO: "ss=3"})
    Publisher(services, RunContext("dag/run/publish/-1"), Seen(), params=params).publish(
        mint(services, "monday", [ONE, TWO]).items
    )
    assert shown[ONE].url.reveal().endswith(f"&auth=Bearer+{shown[ONE].token.reveal()}&play=1")
    assert shown[TWO].url.reveal().endswith(f"&auth=Bearer+{shown[TWO].token.reveal()}&play=1&ss=3")
    assert (shown[ONE].params, shown[TWO].params) == ("play=1", "play=1&ss=3")


# ------------------------------------------------- what is the same on every database


class Indexed(Shelf):
    """A shelf with an index, which can be written slowly or leave old links behind."""

    def __init__(self) -> None:
        super().__init__()
        self.indexes: list[int] = []
        self.remains = False
        self.before: Callable[[], object] = lambda: None

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> Any:
        self.before()
        return SlotResult(super().put(slot, link, previous), old_link_remains=self.remains)

    def finish(self, shown: Sequence[Publication]) -> None:
        self.indexes.append(len(shown))


def test_models_are_asked_for_their_names_only_where_they_are_shown_and_something_is_put(
    shared_services: Services,
) -> None:
    services, shelf = shared_services, Shelf()
    items = mint(services, "monday", SHARED_MODELS[:1]).items
    with mock.patch.object(services.client, "model_names", side_effect=AssertionError) as asked:
        assert publish(services, "monday", shelf, items).published.total == 1
        shelf.shows_names = True
        assert publish(services, "later", shelf, items).unchanged.total == 1
    assert not asked.called


@pytest.mark.parametrize(("remains", "grace"), [(True, timedelta(0)), (False, timedelta(minutes=15))])
def test_an_old_link_that_remains_at_the_target_has_no_grace(
    shared_services: Services, remains: bool, grace: timedelta
) -> None:
    services, shelf = shared_services, Indexed()
    shelf.remains = remains
    for run in ("monday", "tuesday"):
        publish(services, run, shelf, mint(services, run, SHARED_MODELS[:1]).items)
    newest, oldest = rows(services)
    with services.database.read() as tx:
        (shown,) = publications.shown_at(tx, "shelf")
    assert newest.retire_at is None
    assert oldest.retire_at == shown.published_at + grace


def test_an_index_is_written_where_something_was_put_or_a_finish_is_asked_for(shared_services: Services) -> None:
    services, shelf = shared_services, Indexed()
    items = mint(services, "monday", SHARED_MODELS[:2]).items
    publish(services, "monday", shelf, items)
    publish(services, "later", shelf, items)
    assert shelf.indexes == [2]
    run = RunContext.of_task("dag", "retry", "publish")
    assert Publisher(services, run, shelf).publish(items, finish=True).unchanged.total == 2
    assert shelf.indexes == [2, 2]


def test_a_long_publication_logs_how_far_it_is(
    make_shared: Callable[[], Services], caplog: pytest.LogCaptureFixture
) -> None:
    services = make_shared()
    items = mint(services, "monday", SHARED_MODELS[:1]).items
    clock = FakeClock(services.clock.now())
    shelf = Indexed()
    shelf.before = lambda: clock.advance(6)
    with caplog.at_level(logging.INFO):
        publish(replace(services, clock=clock), "monday", shelf, items)
    assert "publishing: 1, 0 a second." in [record.message for record in caplog.records]


def test_a_target_that_cannot_say_where_a_model_is_shown_fails_for_that_model(shared_services: Services) -> None:
    class Broken(Shelf):
        def slots(self, item: Any) -> Sequence[str]:
            raise KeyError("page")

    (model_id,) = SHARED_MODELS[:1]
    result = publish(shared_services, "monday", Broken(), mint(shared_services, "monday", [model_id]).items)
    (failure,) = result.failed
    assert (failure["slot"], failure["model_id"]) == ("?", model_id)


def test_an_index_that_cannot_be_written_is_a_failure_of_its_own(shared_services: Services) -> None:
    shelf = Indexed()

    def broken(shown: Sequence[Publication]) -> None:
        raise SlotError("the disk is full")

    shelf.finish = broken  # type: ignore[method-assign]
    result = publish(shared_services, "monday", shelf, mint(shared_services, "monday", SHARED_MODELS[:1]).items)
    assert [(f["slot"], f["model_id"], f["reason"]) for f in result.failed] == [("index", "all", "the disk is full")]
    assert result.published.total == 1
