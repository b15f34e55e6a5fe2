"""A real WordPress, night after night: one live link in the page, nothing else touched, no old link anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.wordpress import Site, missing, serving_wordpress
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import Sweeper
from pme_airflow.targets.wordpress import WordPressTarget
from tests.conftest import MODELS
from tests.support.rooms import mint, publish
from tests.support.scale import scaled

pytestmark = [pytest.mark.skipif(missing() is not None, reason=str(missing())), pytest.mark.timeout(scaled(300, 1800))]
ONE, TWO = list(MODELS)[:2]
NIGHTS = scaled(4, 30)
BEFORE, AFTER = '<!-- wp:paragraph --><p>Before &amp; "after" — ünï 😀</p><!-- /wp:paragraph -->\n\n', "\n\n<p>Tail</p>"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving_wordpress() as running:
        running.set_up(revisions_plugin=True, pretty=False)
        yield running


def target(site: Site, pages: dict[str, int]) -> WordPressTarget:
    session = requests.Session()
    session.auth = (site.user, site.password)
    return WordPressTarget(session, site.address, pages)


def test_two_models_in_one_page_keep_out_of_each_others_way(site: Site, services: Services) -> None:
    page = site.page(f"<p>a</p>[pme model={TWO}]<p>b</p>")
    shelf = target(site, {ONE: page, TWO: page})
    for night in ("monday", "tuesday"):
        assert publish(services, night, shelf, mint(services, night, [ONE, TWO]).items).failed == []
    content = site.content(page)
    assert re.findall(r"pme:(\w+) -->", content).count(ONE) == 2
    assert content.index("<p>a</p>") < content.index(TWO) < content.index("<p>b</p>") < content.index(ONE)


def test_an_iframe_that_shows_the_model_is_taken_over(site: Site, services: Services) -> None:
    page = site.page(f'<p>x</p><iframe src="https://my.matterport.com/show?m={ONE}&amp;play=1"></iframe><p>y</p>')
    assert publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items).failed == []
    assert site.content(page).count("<iframe") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"[pme model={ONE}] and [pme model={ONE}]", "2 marks"),
        (f"<!-- pme:{ONE} -->a<!-- /pme:{ONE} --><!-- pme:{ONE} -->b<!-- /pme:{ONE} -->", "2 blocks"),
    ],
)
def test_a_page_that_is_not_clear_is_left_alone(site: Site, services: Services, content: str, said: str) -> None:
    page = site.page(content)
    outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert said in outcome.failed[0]["reason"]
    assert site.content(page) == content


def test_a_page_that_is_gone_or_in_the_trash_fails_by_name_and_the_rest_is_shown(
    site: Site, services: Services
) -> None:
    good, trashed = site.page("x"), site.page("y")
    site.call("DELETE", f"pages/{trashed}")
    shelf = target(site, {ONE: 999_999, TWO: good})
    outcome = publish(services, "monday", shelf, mint(services, "monday", [ONE, TWO]).items)
    assert "no such page" in outcome.failed[0]["reason"]
    assert [shown["model_id"] for shown in outcome.published] == [TWO]
    outcome = publish(services, "monday", target(site, {ONE: trashed}), mint(services, "monday", [ONE]).items)
    assert "trash" in outcome.failed[0]["reason"]


def test_a_page_of_a_thousand_old_blocks_is_left_alone(site: Site, services: Services) -> None:
    content = f"<!-- pme:{ONE} -->old<!-- /pme:{ONE} -->\n" * 1000
    page = site.page(content)
    outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "1000 blocks" in outcome.failed[0]["reason"]
    assert site.content(page).count("old") == 1000


def test_a_page_of_somebody_else_is_named(site: Site, services: Services) -> None:
    page = site.page("theirs")
    author = site.account("author")
    outcome = publish(services, "monday", target(author, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "may not edit this page" in outcome.failed[0]["reason"]
    assert site.content(page) == "theirs"


def test_a_redirect_to_a_login_page_is_not_followed(site: Site, services: Services) -> None:
    """The site says http://localhost for itself; asked by another name it would send the link on."""
    page = site.page("x")
    session = requests.Session()
    elsewhere = WordPressTarget(session, f"{site.address}/wp-admin", {ONE: page})
    outcome = publish(services, "monday", elsewhere, mint(services, "monday", [ONE]).items)
    assert outcome.published == []
    assert site.content(page) == "x"


def test_a_wrong_password_is_a_clear_error(site: Site, services: Services) -> None:
    page = site.page("x")
    wrong = Site(site.address, site.user, "not it")
    outcome = publish(services, "monday", target(wrong, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "application password" in outcome.failed[0]["reason"]


def test_a_slot_that_is_cleared_keeps_a_mark_and_no_link(site: Site, services: Services, world: World) -> None:
    page = site.page(f"{BEFORE}[pme model={ONE}]{AFTER}")
    shelf = target(site, {ONE: page})
    publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    token = next(reversed(world.tokens))
    from pme_airflow.lifecycle.publish import Publisher

    Publisher(services, RunContext("dag/tuesday/publish/-1"), shelf).retire_others("intranet", [])
    assert site.content(page) == f"{BEFORE}[pme model={ONE}]{AFTER}"
    assert token not in site.kept(page) + site.seen(page)
    Sweeper(services, RunContext("sweep")).sweep()


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Site, Site]]:
    """A network of two sites in folders, and its second site."""
    with serving_wordpress() as running:
        second = running.network()
        running.set_up(revisions_plugin=True, pretty=False)
        yield running, second


def test_a_second_site_of_a_network(network: tuple[Site, Site], services: Services, world: World) -> None:
    first, second = network
    page = second.page(f"{BEFORE}[pme model={ONE}]{AFTER}")
    for night in ("monday", "tuesday"):
        outcome = publish(services, night, target(second, {ONE: page}), mint(services, night, [ONE]).items)
        assert outcome.failed == []
    assert next(reversed(world.tokens)) in second.content(page)
    assert first.call("GET", "pages", search="Tail") == []


def test_an_account_whose_iframes_are_taken_out_is_told_before_anything_is_written(
    network: tuple[Site, Site], services: Services
) -> None:
    """On a network only its administrator keeps them."""
    first, _ = network
    page = first.page(f"[pme model={ONE}]")
    editor = first.account("editor")
    outcome = publish(services, "monday", target(editor, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "unfiltered_html" in outcome.failed[0]["reason"]
    assert outcome.failed[0]["permanent"]
    assert first.content(page) == f"[pme model={ONE}]"
