"""The same thirty nights at every place, through a network that breaks: one live link shown, nothing else touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground import wordpress
from pme_airflow.dev.target_kit import check_contract
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS, MakeServices
from tests.support import directus, ghost, mediawiki, redmine, strapi
from tests.support.chromium import CHROMIUM, chromium
from tests.support.clocks import FakeClock
from tests.support.entries import serving_entries
from tests.support.home import ROOT
from tests.support.nights import Nights, Place
from tests.support.places import (
    DirectusPlace,
    GroupPlace,
    StrapiPlace,
    WordPressPageOfAll,
    WordPressPlace,
    bucket_place,
    slack_place,
)
from tests.support.plugin_site import PluginPlace, SecondSitePlace, serving_plugin_site, serving_second_site
from tests.support.proxy import Proxy, serving_proxy
from tests.support.scale import scaled
from tests.support.vendors import VENDORS, Vendor, vendor_place

pytestmark = pytest.mark.timeout(scaled(300, 3000))
NIGHTS = scaled(4, 30)
TWO = list(MODELS)[:2]


@pytest.fixture
def clock(world: World) -> FakeClock:
    made = FakeClock()
    world.freeze_clock(made.now())
    return made


@pytest.fixture
def services(make_services: MakeServices, clock: FakeClock) -> Services:
    return make_services(clock)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def through(place: Place, services: Services, clock: FakeClock, world: World, count: int = NIGHTS) -> Nights:
    check_contract(place, TWO)
    nights = Nights(place, services, clock, world, TWO)
    nights.go(count)
    nights.clear()
    return nights


def through_with_edits(
    place: Any, proxy: Proxy, services: Services, clock: FakeClock, world: World, count: int = NIGHTS
) -> None:
    """Nights through a proxy that breaks, at a place that somebody edits between a read and a write."""
    through(place, services, clock, world, count)
    assert sum(proxy.struck.values()) > 0
    assert place.edits >= 2


@pytest.fixture(scope="module")
def site() -> Iterator[wordpress.Site]:
    with wordpress.serving_wordpress() as running:
        yield running


@pytest.mark.skipif(wordpress.missing() is not None, reason=str(wordpress.missing()))
@pytest.mark.parametrize(
    ("kind", "clean", "pretty"),
    [("pages", False, False), ("pages", True, False), ("posts", True, True), ("tours", True, True)],
)
def test_wordpress(
    site: wordpress.Site, opened: ExitStack, services: Services, clock: FakeClock, world: World, kind: str, clean: bool,
    pretty: bool,
) -> None:  # fmt: skip
    """Pages without and with our plugin, posts and a custom type, with and without pretty permalinks."""
    site.set_up(revisions_plugin=clean, pretty=pretty)
    proxy = opened.enter_context(serving_proxy(site.address))
    through(WordPressPlace(proxy, site, TWO, kind, clean=clean), services, clock, world)
    assert sum(proxy.struck.values()) > NIGHTS


@pytest.mark.skipif(wordpress.missing() is not None, reason=str(wordpress.missing()))
def test_wordpress_with_the_plugin(
    opened: ExitStack, services: Services, clock: FakeClock, world: World
) -> None:  # fmt: skip
    """No link is found anywhere in the site on any night, and pages that were cached on the first show live spaces."""
    site = opened.enter_context(serving_plugin_site())
    proxy = opened.enter_context(serving_proxy(site.site.address))
    browser = opened.enter_context(chromium()) if CHROMIUM else None
    place = PluginPlace(proxy, site, TWO, world, browser)
    through(place, services, clock, world)
    assert sum(proxy.struck.values()) > NIGHTS
    assert "data-pme-source" in site.cached()


@pytest.mark.skipif(wordpress.missing() is not None, reason=str(wordpress.missing()))
def test_a_wordpress_page_with_several_spaces(
    site: wordpress.Site, opened: ExitStack, services: Services, clock: FakeClock, world: World
) -> None:
    """Two runs at once write the same page."""
    site.set_up(revisions_plugin=True, pretty=False)
    proxy = opened.enter_context(serving_proxy(site.address))
    models = list(MODELS)[:3]
    nights = Nights(WordPressPageOfAll(proxy, site, models), services, clock, world, models, runs=2)
    nights.go(scaled(2, 30))
    nights.clear()
    assert sum(proxy.struck.values()) > 0


@pytest.mark.skipif(wordpress.missing() is not None, reason=str(wordpress.missing()))
def test_the_second_site_of_a_network(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    """Its spaces live on as on any site, and a visitor without the right there reads a notice."""
    site = opened.enter_context(serving_second_site())
    proxy = opened.enter_context(serving_proxy(site.site.address))
    browser = opened.enter_context(chromium()) if CHROMIUM else None
    through(SecondSitePlace(proxy, site, TWO, world, browser), services, clock, world, scaled(1, 30))


def test_one_entry_for_all_spaces(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    """Two runs at once write the same entry, and somebody edits it meanwhile."""
    cms = opened.enter_context(serving_entries())
    proxy = opened.enter_context(serving_proxy(cms.address))
    place, models = GroupPlace(proxy, cms), list(MODELS)[:3]
    nights = Nights(place, services, clock, world, models, runs=2)
    nights.go(scaled(3, 30))
    nights.clear()
    assert sum(proxy.struck.values()) > 0
    assert place.edits >= 2


@pytest.mark.skipif(directus.missing() is not None, reason=str(directus.missing()))
def test_directus(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    cms = opened.enter_context(directus.serving_directus())
    proxy = opened.enter_context(serving_proxy(cms.address))
    through_with_edits(DirectusPlace(proxy, cms, TWO), proxy, services, clock, world)


@pytest.mark.skipif(strapi.missing() is not None, reason=str(strapi.missing()))
def test_strapi(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    cms = opened.enter_context(strapi.serving_strapi())
    proxy = opened.enter_context(serving_proxy(cms.address))
    through_with_edits(StrapiPlace(proxy, cms, TWO), proxy, services, clock, world)


@pytest.mark.skipif(mediawiki.missing() is not None, reason=str(mediawiki.missing()))
def test_mediawiki_by_its_recipe(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    wiki = opened.enter_context(mediawiki.serving_mediawiki())
    proxy = opened.enter_context(serving_proxy(wiki.address))
    through_with_edits(mediawiki.WikiPlace(proxy, wiki, TWO), proxy, services, clock, world, scaled(2, 30))


@pytest.mark.skipif(redmine.missing() is not None, reason=str(redmine.missing()))
def test_redmine_by_its_recipe(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    tracker = opened.enter_context(redmine.serving_redmine())
    proxy = opened.enter_context(serving_proxy(tracker.address))
    through_with_edits(redmine.RedminePlace(proxy, tracker, TWO), proxy, services, clock, world, scaled(2, 30))


@pytest.mark.skipif(ghost.missing() is not None, reason=str(ghost.missing()))
def test_ghost_by_its_recipe(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    blog = opened.enter_context(ghost.serving_ghost())
    proxy = opened.enter_context(serving_proxy(blog.address))
    through_with_edits(ghost.GhostPlace(proxy, blog, TWO), proxy, services, clock, world, scaled(2, 30))


@pytest.mark.parametrize("make", VENDORS, ids=lambda make: make.name)
def test_a_vendors_stand_in_by_its_recipe(
    make: type[Vendor], opened: ExitStack, services: Services, clock: FakeClock, world: World
) -> None:
    place = opened.enter_context(vendor_place(make, TWO))
    through(place, services, clock, world, scaled(2, 30))
    assert place.edits >= 2


def test_a_versioned_bucket(
    opened: ExitStack, services: Services, clock: FakeClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = opened.enter_context(bucket_place(monkeypatch.setenv))
    through(place, services, clock, world)
    assert sum(place.proxy.struck.values()) > 0


def test_slack(opened: ExitStack, services: Services, clock: FakeClock, world: World) -> None:
    place = opened.enter_context(slack_place())
    through(place, services, clock, world)
    assert sum(place.proxy.struck.values()) > 0
    assert len(place.channel.messages) == 1


def test_a_target_written_from_the_page_alone(tmp_path: Path) -> None:
    """The page's example of a target passes the page's example of its test."""
    page = (ROOT / "docs" / "how-to" / "write-a-target.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    made: dict[str, Any] = {}
    for block in blocks:
        if "TextFiles" in block:
            exec(block.replace("from my_targets import TextFiles\n", ""), made)
    made["test_text_files"](tmp_path)
