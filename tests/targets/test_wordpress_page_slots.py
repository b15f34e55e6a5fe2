"""A WordPress page with several spaces is written once for all of them, and one bad place fails alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.wordpress import WordPressTarget
from tests.conftest import MODELS, MakeServices
from tests.support.fake_wordpress import FakeWordPress, Request
from tests.support.rooms import mint, publish
from tests.support.together import at_once

ALL = list(MODELS)[:5]
TEXT = "<p>Before</p>\n\n{places}\n\n<p>After</p>"


@pytest.fixture
def site() -> FakeWordPress:
    places = "\n\n<p>and</p>\n\n".join(f"[pme model={model_id}]" for model_id in ALL)
    return FakeWordPress(p1=TEXT.format(places=places))


def page_of(site: FakeWordPress) -> WordPressTarget:
    return site.target(dict.fromkeys(ALL, 1), mode="content")


def shown(site: FakeWordPress, world: World) -> set[str]:
    """The live tokens that the page has."""
    return {issued.token for issued in world.alive() if issued.token in site.content()}


def newest(world: World, models: list[str]) -> set[str]:
    return set(
        {issued.model_id: issued.token for issued in world.tokens.values() if issued.model_id in models}.values()
    )


def test_a_page_is_written_once_for_all_of_its_models(site: FakeWordPress, services: Services, world: World) -> None:
    for number, night in enumerate(("monday", "tuesday"), 1):
        assert list(publish(services, night, page_of(site), mint(services, night, ALL).items).failed) == []
        assert site.count("POST") == number
        assert shown(site, world) == newest(world, ALL)
    assert site.content().startswith("<p>Before</p>")
    assert site.content().endswith("<p>After</p>")
    assert site.content().count("<p>and</p>") == 4
    assert not any(token in str(site.pages["pages/1"].revisions) for token in world.tokens)


def test_a_page_costs_no_more_requests_for_five_models_than_for_one(
    site: FakeWordPress, services: Services, world: World
) -> None:
    publish(services, "monday", page_of(site), mint(services, "monday", ALL).items)
    counts = []
    for night, models in (("tuesday", ALL[:1]), ("wednesday", ALL)):
        site.seen.clear()
        publish(services, night, page_of(site), mint(services, night, models).items)
        counts.append(len(site.seen))
    assert counts[0] == counts[1]


def test_a_model_with_two_places_fails_alone(site: FakeWordPress, services: Services, world: World) -> None:
    publish(services, "monday", page_of(site), mint(services, "monday", ALL).items)
    before = newest(world, ALL[:1])
    page = site.pages["pages/1"]
    start = page.raw.index(f"<!-- pme:{ALL[0]}")
    page.edit(page.raw + page.raw[start : page.raw.index("<p>and</p>", start)])
    result = publish(services, "tuesday", page_of(site), mint(services, "tuesday", ALL).items)
    assert [failure["model_id"] for failure in result.failed] == [ALL[0]]
    assert shown(site, world) == newest(world, ALL[1:]) | before


def test_an_edit_between_read_and_write_is_kept(site: FakeWordPress, services: Services, world: World) -> None:
    reads: list[Request] = []

    def edit(asked: Request) -> None:
        if asked.method == "GET" and asked.path == "pages/1":
            reads.append(asked)
            if len(reads) == 1:
                site.pages["pages/1"].edit(site.content() + "<p>Added meanwhile</p>")

    site.after = edit
    assert list(publish(services, "monday", page_of(site), mint(services, "monday", ALL).items).failed) == []
    assert site.content().endswith("<p>Added meanwhile</p>")
    assert shown(site, world) == newest(world, ALL)


def test_a_model_that_is_not_shown_any_more_is_taken_out_alone(
    site: FakeWordPress, services: Services, world: World
) -> None:
    publish(services, "monday", page_of(site), mint(services, "monday", ALL).items)
    publisher = Publisher(services, RunContext("dag/tuesday/publish/-1"), page_of(site))
    result = publisher.retire_others("intranet", ALL[1:])
    assert [entry["model_id"] for entry in result.removed] == [ALL[0]]
    assert site.count("POST") == 2
    assert shown(site, world) == newest(world, ALL[1:])
    del site.pages["pages/1"]
    result = Publisher(services, RunContext("dag/x/publish/-1"), page_of(site)).retire_others("intranet", [])
    assert result.removed.total == 4


def test_two_runs_at_once_undo_nothing_of_each_other(
    site: FakeWordPress, make_services: MakeServices, world: World
) -> None:
    def run(name: str, models: list[str], wait: Callable[[], None]) -> None:
        services = make_services()
        items = mint(services, name, models).items
        wait()
        assert list(publish(services, name, page_of(site), items).failed) == []

    at_once(partial(run, "one", ALL[:3]), partial(run, "two", ALL[3:]))
    assert shown(site, world) == newest(world, ALL)
