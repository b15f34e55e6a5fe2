"""A real WordPress: what it stores, shows and refuses. The nights of ``test_nights.py`` and the editor are apart."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.wordpress import Site, missing, serving_wordpress
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.wordpress import WordPressTarget
from tests.conftest import MODELS
from tests.support.fake_wordpress import link
from tests.support.handlers import serving_handler
from tests.support.rooms import mint, publish, sweep
from tests.support.scale import scaled

pytestmark = [pytest.mark.skipif(missing() is not None, reason=str(missing())), pytest.mark.timeout(scaled(300, 1800))]
ONE, TWO = list(MODELS)[:2]
_CHARSET = """<?php
require '{root}/wp-load.php';
$wpdb->query("ALTER TABLE $wpdb->posts CONVERT TO CHARACTER SET {charset}") !== false or exit(1);
"""
#: Shows the content alone, since Debian's package has no theme.
_THEME = """
add_action('template_redirect', function () { if (is_singular()) { while (have_posts()) { the_post(); the_content(); } exit; } });
"""
_CLOSED = """
add_filter('rest_authentication_errors', fn($e) => is_user_logged_in() ? $e : new WP_Error('rest_login_required', 'No', ['status' => 401]));
"""
BEFORE, AFTER = '<!-- wp:paragraph --><p>Before &amp; "after" — ünï 😀</p><!-- /wp:paragraph -->\n\n', "\n\n<p>Tail</p>"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving_wordpress() as running:
        running.set_up(revisions_plugin=True, pretty=False)
        yield running


def session_of(site: Site) -> requests.Session:
    session = requests.Session()
    session.auth = (site.user, site.password)
    return session


def target(site: Site, pages: dict[str, int]) -> WordPressTarget:
    return WordPressTarget(session_of(site), site.address, pages)


@contextmanager
def plugin(site: Site, code: str) -> Iterator[None]:
    """A plugin that the site has while the block runs."""
    file = site.root / "wp-content" / "mu-plugins" / f"{uuid.uuid4().hex}.php"  # PHP keeps files by their names
    file.write_text(f"<?php {code}")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


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
    ("content", "reason"),
    [
        (f"[pme model={ONE}] and [pme model={ONE}]", "2 placeholders"),
        (f"<!-- pme:{ONE} -->a<!-- /pme:{ONE} --><!-- pme:{ONE} -->b<!-- /pme:{ONE} -->", "2 blocks"),
    ],
)
def test_a_page_that_is_not_clear_is_left_alone(site: Site, services: Services, content: str, reason: str) -> None:
    page = site.page(content)
    outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert reason in outcome.failed[0]["reason"]
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


def answering(status: int, body: str, **headers: str) -> tuple[type[BaseHTTPRequestHandler], list[str]]:
    """A server that answers everything alike, and the methods it was asked by."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.command)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value.format(path=self.path))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    return Handler, asked


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(site: Site, services: Services, status: int) -> None:
    page = site.page("x")
    handler, asked = answering(status, "", Location=f"{site.address}{{path}}")
    with serving_handler(handler) as address:
        moved = target(replace(site, address=address), {ONE: page})
        outcome = publish(services, "monday", moved, mint(services, "monday", [ONE]).items)
    assert "redirect" in outcome.failed[0]["reason"]
    assert set(asked) == {"GET"}
    assert site.content(page) == "x"


def test_a_login_page_is_not_taken_for_an_answer(site: Site, services: Services) -> None:
    handler, asked = answering(200, "<!doctype html><p>Log in</p>", **{"Content-Type": "text/html"})
    with serving_handler(handler) as address:
        other = target(replace(site, address=address), {ONE: 1})
        outcome = publish(services, "monday", other, mint(services, "monday", [ONE]).items)
    assert "is the address that of a WordPress site?" in outcome.failed[0]["reason"]
    assert set(asked) == {"GET"}


def test_an_account_that_is_not_logged_in_writes_nothing(site: Site, services: Services) -> None:
    page = site.page("x")
    elsewhere = WordPressTarget(requests.Session(), f"{site.address}/wp-admin", {ONE: page})
    outcome = publish(services, "monday", elsewhere, mint(services, "monday", [ONE]).items)
    assert outcome.failed.total == 1
    assert site.content(page) == "x"


def test_a_wrong_password_is_a_clear_error(site: Site, services: Services) -> None:
    page = site.page("x")
    wrong = Site(site.address, site.user, "not it")
    outcome = publish(services, "monday", target(wrong, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "application password" in outcome.failed[0]["reason"]


def test_a_slot_that_is_cleared_shows_nothing_and_keeps_its_place(site: Site, services: Services, world: World) -> None:
    page = site.page(f"{BEFORE}[pme model={ONE}]{AFTER}")
    shelf = target(site, {ONE: page})
    publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    token, shown = next(reversed(world.tokens)), site.content(page)
    Publisher(services, RunContext("dag/tuesday/publish/-1"), shelf).retire_others("intranet", [])
    empty = f"<!-- wp:html -->\n<!-- pme:{ONE} --><!-- /pme:{ONE} -->\n<!-- /wp:html -->"
    assert site.content(page) == f"{BEFORE}{empty}{AFTER}"
    assert token not in site.kept(page) + site.seen(page)
    assert "[pme" not in site.seen(page)
    sweep(services)
    publish(services, "wednesday", shelf, mint(services, "wednesday", [ONE]).items)
    assert site.content(page) == shown.replace(token, next(reversed(world.tokens)))


def test_a_link_that_an_editor_deleted_is_back_at_the_next_run(site: Site, services: Services) -> None:
    page, other = site.page(f"a [pme model={ONE}] b"), site.page(f"c [pme model={TWO}] d")
    shelf = target(site, {ONE: page, TWO: other})
    items = mint(services, "monday", [ONE, TWO]).items
    publish(services, "monday", shelf, items)
    site.call("POST", f"pages/{page}", {"content": "a b, edited"})
    outcome = publish(services, "keeper", target(site, {ONE: page, TWO: other}), items)
    assert [about["model_id"] for about in outcome.published] == [ONE]
    assert outcome.unchanged.total == 1
    assert site.content(page).startswith("a b, edited")
    assert "<iframe" in site.content(page)


@pytest.mark.parametrize("status", ["draft", "private"])
def test_pages_that_are_not_public_are_checked_too(site: Site, services: Services, status: str) -> None:
    page = site.page("a")
    site.call("POST", f"pages/{page}", {"status": status})
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", target(site, {ONE: page}), items)
    assert publish(services, "keeper", target(site, {ONE: page}), items).unchanged.total == 1
    site.call("POST", f"pages/{page}", {"content": "b"})
    assert publish(services, "later", target(site, {ONE: page}), items).published.total == 0  # not 10 minutes later
    fresh = publish(services, "night", target(site, {ONE: page}), mint(services, "night", [ONE]).items)
    assert fresh.published.total == 1


@pytest.mark.parametrize("name", ["Loft 😀", "𠮷野家 🏠 Café", "Ünï", "[gallery] <b>&amp;</b>"])
def test_a_name_of_any_characters_is_shown_on_tables_of_three_bytes(site: Site, name: str) -> None:
    site.run_php(_CHARSET.format(root=site.root, charset="utf8mb3"))
    try:
        page = site.page("before [pme model=SxQL3iGyoDo] after")
        shelf = WordPressTarget(session_of(site), site.address, {"SxQL3iGyoDo": page})
        slot = f"pages/{page}#SxQL3iGyoDo"
        shelf.read_back(slot, link(name=name), shelf.put(slot, link(name=name), {}).details)
        shown = site.call("GET", f"pages/{page}", anonymous=True)["content"]["rendered"]
        (title,) = re.findall(r'title="([^"]*)"', shown)
        assert html.unescape(title) == name
        assert site.content(page).endswith(" after")
    finally:
        site.run_php(_CHARSET.format(root=site.root, charset="utf8mb4"))


def test_a_rest_api_that_is_closed_to_visitors_is_gone_round_by_the_page_itself(site: Site, services: Services) -> None:
    page = site.page("x")
    with plugin(site, _THEME + _CLOSED):
        outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
        assert outcome.failed == []
    with plugin(site, _THEME.replace("the_content", "the_title") + _CLOSED):
        outcome = publish(services, "tuesday", target(site, {ONE: page}), mint(services, "tuesday", [ONE]).items)
        assert "does not show it to readers" in outcome.failed[0]["reason"]


def test_notices_that_a_plugin_prints_into_answers_do_no_harm(site: Site, services: Services) -> None:
    page = site.page("x")
    with plugin(
        site,
        'add_filter("rest_pre_serve_request", function ($served) { echo "\\xEF\\xBB\\xBF<br /><b>Warning</b>: x[0] {y}"; return $served; });',
    ):
        outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert outcome.failed == []


@pytest.mark.parametrize("blocked", ["isset($_GET['rest_route'])", "strpos($_SERVER['REQUEST_URI'], '/wp-json') === 0"])
def test_a_firewall_that_blocks_one_rest_address_is_gone_round(site: Site, services: Services, blocked: str) -> None:
    page = site.page("x")
    site.set_up(revisions_plugin=True, pretty=True)
    with plugin(site, f"if ({blocked}) {{ http_response_code(403); die('Forbidden by the firewall'); }}"):
        outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    site.set_up(revisions_plugin=True, pretty=False)
    assert outcome.failed == []


def test_a_firewall_that_blocks_every_rest_address_is_not_taken_for_missing_rights(
    site: Site, services: Services
) -> None:
    page = site.page("x")
    with plugin(
        site,
        "if (isset($_GET['rest_route']) || strpos($_SERVER['REQUEST_URI'], '/wp-json') === 0) "
        "{ http_response_code(403); die('Forbidden by the firewall'); }",
    ):
        outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "in front of WordPress" in outcome.failed[0]["reason"]
    assert "may not edit" not in outcome.failed[0]["reason"]


def test_credentials_that_do_not_reach_wordpress_are_named(site: Site, services: Services) -> None:
    page = site.page("x")
    with plugin(site, "unset($_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW']);"):
        outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert "Authorization header" in outcome.failed[0]["reason"]


@pytest.mark.parametrize(
    "rewrite",
    [
        "str_replace(' src=', ' loading=\"lazy\" data-src=', $c)",
        "preg_replace_callback('/<iframe.*?<\\/iframe>/', fn($m) => '<script type=\"text/template\">' . base64_encode($m[0]) . '</script>', $c)",
        "str_replace('<iframe', '<noscript><iframe', $c) . '</noscript>'",
    ],
)
def test_an_optimizer_that_rewrites_the_iframe_on_output_does_no_harm(
    site: Site, services: Services, rewrite: str
) -> None:
    page = site.page("x")
    with plugin(site, f"add_filter('the_content', fn($c) => {rewrite}, 99);"):
        outcome = publish(services, "monday", target(site, {ONE: page}), mint(services, "monday", [ONE]).items)
    assert outcome.failed == []
    assert "<iframe src=" in site.content(page)


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
