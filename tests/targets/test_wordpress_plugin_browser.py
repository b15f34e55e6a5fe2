"""The plugin in Chromium: a live space on a page from the cache, a notice for who may not see it, and the block editor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from pme_airflow.dev.playground.wordpress import missing
from tests.support.block_editor import signed_in
from tests.support.chromium import needs_chromium
from tests.support.plugin_site import PluginSite, serving_plugin_site, write_only
from tests.support.scale import scaled

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    needs_chromium,
    pytest.mark.timeout(scaled(300, 1800)),
]
MODEL = "yyHDFKzPzvN"
_INSERT = """(model) => {
    const block = wp.blocks.createBlock('pme/space', { model, title: 'Mill "A" <b>', height: '300px' });
    wp.data.dispatch('core/block-editor').insertBlocks(block);
}"""


@pytest.fixture(scope="module")
def plugin() -> Iterator[PluginSite]:
    with serving_plugin_site() as site:
        yield site


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor's tab, with what the script reports; whatever is on another host shows a page of its own."""
    context = browser.new_context()
    opened = context.new_page()
    opened.route("https://**/*", lambda route: route.fulfill(body="a space", content_type="text/html"))
    opened.add_init_script(
        "window.seen = []; for (const name of ['reloaded', 'failed']) addEventListener('pme:' + name, () => seen.push(name), true);"
    )
    yield opened
    context.close()


def look(page: Page, plugin: PluginSite, post: int) -> str | None:
    """Look at a page of the site until the script is done, and return what its frame shows."""
    page.goto(f"{plugin.site.address}/?page_id={post}")
    page.wait_for_function("seen.length > 0")
    return page.evaluate("document.querySelector('.pme-space iframe').getAttribute('src')")


def test_a_page_from_the_cache_shows_the_link_of_today(plugin: PluginSite, page: Page) -> None:
    post = plugin.site.page(f'[pme model="{MODEL}" title="Mill" params="play=1"]')
    write_only(plugin.site, MODEL, "m" * 25)
    plugin.page(post)
    first = plugin.cached()
    for token in ("m" * 25, "t" * 25, "w" * 25):
        write_only(plugin.site, MODEL, token)
        shown = look(page, plugin, post)
        assert shown == f"https://my.matterport.com/show?m={MODEL}&auth=Bearer+{token}&play=1"
    assert plugin.cached() == first
    assert "Bearer" not in first
    assert page.evaluate("document.querySelector('.pme-space iframe').title") == "Mill"
    assert page.evaluate("[...document.querySelectorAll('[data-pme-status]')].every((notice) => notice.hidden)")


def test_who_may_not_see_a_space_reads_a_polite_notice(plugin: PluginSite, page: Page) -> None:
    post = plugin.site.page(f"[pme model={MODEL}]")
    write_only(plugin.site, MODEL, "m" * 25)
    plugin.set_rule("signed_in")
    try:
        assert look(page, plugin, post) is None
        notice = page.locator("[data-pme-status=denied]")
        assert notice.is_visible()
        assert "signed-in visitors" in notice.inner_text()
        assert "wp-login.php" in notice.locator("a").get_attribute("href")
        assert not page.locator("[data-pme-status=failed]").is_visible()
        assert not page.locator(".pme-space iframe").is_visible()
        page.goto(f"{plugin.site.address}/wp-login.php")
        page.fill("#user_login", plugin.site.user)
        page.fill("#user_pass", plugin.site.login_password)
        page.click("#wp-submit")
        page.wait_for_url("**/wp-admin/**")
        assert "m" * 25 in look(page, plugin, post)
        assert not notice.is_visible()
    finally:
        plugin.set_rule("everybody")


def test_a_space_without_a_link_says_so(plugin: PluginSite, page: Page) -> None:
    post = plugin.site.page("[pme model=NoLinkAtAll]")
    assert look(page, plugin, post) is None
    assert page.locator("[data-pme-status=failed]").is_visible()
    assert not page.locator("[data-pme-status=denied]").is_visible()


def test_the_block_is_inserted_previewed_and_saved_in_the_editor(plugin: PluginSite, browser: Browser) -> None:
    post = plugin.site.page("<!-- wp:paragraph -->\n<p>Before</p>\n<!-- /wp:paragraph -->")
    write_only(plugin.site, MODEL, "m" * 25)
    editor = signed_in(browser, plugin.site)
    editor.page.route("https://**/*", lambda route: route.fulfill(body="a space", content_type="text/html"))
    assert editor.open(post) == []
    editor.page.evaluate(_INSERT, MODEL)
    editor.page.wait_for_function("document.querySelector('.pme-space iframe[src]')", timeout=60_000)
    assert "m" * 25 in editor.page.evaluate("document.querySelector('.pme-space iframe').src")
    editor.type_and_save()
    content = plugin.site.content(post)
    attributes = f'{{"model":"{MODEL}","title":"Mill \\u0022A\\u0022 \\u003cb\\u003e","height":"300px"}}'
    assert f"<!-- wp:pme/space {attributes} /-->" in content
    assert "Bearer" not in content + plugin.site.kept(post) + plugin.dump()
    assert editor.open(post) == []
    assert "m" * 25 in plugin.seen(post, MODEL)
    editor.page.close()
