"""A portal's page in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.embed_portal import Portal
from tests.support.web import serving_web

#: Counts the requests that the script has sent and not yet taken the body of.
_COUNT_REQUESTS = """
window.underWay = 0;
const send = window.fetch;
window.fetch = async (...request) => {
    window.underWay += 1;
    const done = () => setImmediately(() => (window.underWay -= 1));
    try {
        const response = await send(...request);
        const read = response.json.bind(response);
        response.json = () => read().finally(done);
        if (!response.ok) done();
        return response;
    } catch (error) {
        done();
        throw error;
    }
};
// A message is a task, which no clock of a test holds up, and comes after what awaits the body.
const { port1, port2 } = new MessageChannel();
const waiting = [];
port1.onmessage = () => waiting.shift()();
const setImmediately = (task) => (waiting.push(task), port2.postMessage(0));
"""


@pytest.fixture
def portal() -> Iterator[tuple[Portal, str]]:
    made = Portal()
    with serving_web() as server:
        server.reply = made.answer
        yield made, server.address


@pytest.fixture
def page(browser: Browser, portal: tuple[Portal, str]) -> Iterator[Page]:
    """An empty page of the portal; whatever is on another host shows a page of its own."""
    opened = browser.new_page()
    opened.route("https://**/*", lambda route: route.fulfill(body="a space", content_type="text/html"))
    opened.add_init_script(_COUNT_REQUESTS)
    opened.add_init_script(
        "window.seen = []; for (const name of ['connected', 'renewed', 'reloaded', 'failed'])"
        " addEventListener('pme:' + name, event => seen.push([name, event.detail.reason || '']), true);"
    )
    yield opened
    opened.close()
