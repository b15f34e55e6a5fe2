"""WordPress' own editors in Chromium: what a person's save makes of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

from pme_airflow.dev.playground.wordpress import Site
from tests.support.chromium import chromium

_READY = """() => window.wp && wp.data && wp.data.select('core/editor')
    && wp.data.select('core/editor').__unstableIsEditorReady()"""
#: Names of blocks that the editor calls invalid, and of those in blocks that keep none.
_INVALID = """() => {
    const faults = [];
    const look = (blocks, parent) => blocks.forEach((block) => {
        if (!block.isValid || block.name === 'core/missing') faults.push(block.name);
        if (['core/paragraph', 'core/html', 'core/shortcode', 'core/heading'].includes(parent)) {
            faults.push(`${block.name} in ${parent}`);
        }
        look(block.innerBlocks, block.name);
    });
    look(wp.data.select('core/block-editor').getBlocks(), '');
    return faults;
}"""
_TYPE_AND_SAVE = """async () => {
    wp.data.dispatch('core/block-editor').insertBlocks(wp.blocks.createBlock('core/paragraph', { content: 'typed' }));
    await wp.data.dispatch('core/editor').savePost();
}"""
_CONVERT_AND_SAVE = """async () => {
    for (const block of wp.data.select('core/block-editor').getBlocks()) {
        if (block.name !== 'core/freeform') continue;
        const blocks = wp.blocks.rawHandler({ HTML: wp.blocks.serialize(block) });
        wp.data.dispatch('core/block-editor').replaceBlocks(block.clientId, blocks);
    }
    await wp.data.dispatch('core/editor').savePost();
}"""


class BlockEditor:
    """The block editor of a site, as its administrator."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self._site = site

    def open(self, number: int) -> list[str]:
        """Open a page in the editor.

        :return: what is wrong with its blocks.
        """
        self.page.goto(f"{self._site.address}/wp-admin/post.php?post={number}&action=edit")
        self.page.wait_for_function(_READY, timeout=60_000)
        return list(self.page.evaluate(_INVALID))

    def type_and_save(self) -> None:
        """Write a paragraph at the end, and save."""
        self.page.evaluate(_TYPE_AND_SAVE)

    def convert_and_save(self) -> None:
        """Convert classic text to blocks, and save."""
        self.page.evaluate(_CONVERT_AND_SAVE)


def signed_in(browser: Browser, site: Site) -> BlockEditor:
    """Log in to a site as its administrator, in a new window of a browser."""
    page = browser.new_page()
    page.goto(f"{site.address}/wp-login.php")
    page.fill("#user_login", site.user)
    page.fill("#user_pass", site.login_password)
    page.click("#wp-submit")
    page.wait_for_url("**/wp-admin/**", wait_until="commit")  # the dashboard itself is not needed
    return BlockEditor(page, site)


@contextmanager
def block_editor(site: Site) -> Iterator[BlockEditor]:
    """Log in to a site in Chromium."""
    with chromium() as browser:
        yield signed_in(browser, site)
