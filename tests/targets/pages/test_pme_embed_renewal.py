"""The script of embed pages as time passes: absence, refusals, requests without an answer, and an SDK that fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from playwright.sync_api import Page

from tests.support.chromium import needs_chromium
from tests.support.embed_portal import LINK_A, LINK_B, Portal, settle, show, shown, until
from tests.support.links import TOKEN_B
from tests.support.web import serving_web

pytestmark = needs_chromium
IFRAME = '<iframe data-pme-source="link.json"></iframe>'
WITH_SDK = '<iframe data-pme-source="link.json" data-pme-sdk="/sdk.js"></iframe>'
#: The page's clocks start at this time, and move when the test moves them.
START = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)


@pytest.fixture
def stopped_clock(page: Page) -> None:
    page.clock.install(time=START - timedelta(minutes=1))
    page.clock.pause_at(START)


def asleep(page: Page, seconds: int) -> None:
    """The machine sleeps: no timer is due, and ``performance.now()`` stands still."""
    page.clock.set_system_time(START + timedelta(seconds=seconds))


def frozen(page: Page, seconds: int) -> None:
    """The browser freezes the tab: the clocks go on, and timers are due once afterwards."""
    page.clock.fast_forward(seconds * 1000)


def read_again(page: Page, portal: Portal) -> None:
    """Come back to the page, and wait until the script has taken the source's response."""
    settle(page)
    before = portal.reads
    page.evaluate("dispatchEvent(new Event('pageshow'))")
    settle(page)
    assert portal.reads == before + 1


def watch(page: Page, seconds: int, step: int = 60) -> None:
    """Let time pass in steps, each with the time that its requests take."""
    for _ in range(seconds // step):
        page.clock.fast_forward(step * 1000)
        settle(page)


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize("leave", [asleep, frozen])
def test_first_read_after_a_long_absence_loads_a_replaced_link(
    page: Page, portal: tuple[Portal, str], leave: Callable[[Page, int], None]
) -> None:
    show(page, portal, IFRAME)
    portal[0].replace()
    leave(page, 20 * 60)
    read_again(page, portal[0])
    assert shown(page) == LINK_B


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize("leave", [asleep, frozen])
def test_replaced_link_is_kept_for_ten_minutes_from_when_it_was_last_read(
    page: Page, portal: tuple[Portal, str], leave: Callable[[Page, int], None]
) -> None:
    show(page, portal, IFRAME)
    portal[0].replace()
    leave(page, 5 * 60)
    read_again(page, portal[0])
    assert shown(page) == LINK_A
    frozen(page, 4 * 60)
    read_again(page, portal[0])
    assert shown(page) == LINK_A
    frozen(page, 2 * 60)
    read_again(page, portal[0])
    assert shown(page) == LINK_B


@pytest.mark.usefixtures("stopped_clock")
def test_what_a_link_has_left_is_less_after_a_sleep(page: Page, portal: tuple[Portal, str]) -> None:
    portal[0].link["expires_in"] = 400
    show(page, portal, IFRAME)
    portal[0].replace()
    asleep(page, 380)
    read_again(page, portal[0])
    assert shown(page) == LINK_B


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize("status", [401, 403])
def test_a_passing_refusal_ends_by_itself(page: Page, portal: tuple[Portal, str], status: int) -> None:
    show(page, portal, IFRAME)
    portal[0].status = status
    watch(page, 60)
    portal[0].status = 200
    portal[0].replace()
    watch(page, 12 * 60)
    assert shown(page) == LINK_B


@pytest.mark.usefixtures("stopped_clock")
def test_a_visitor_who_is_refused_at_first_sees_the_space_later(page: Page, portal: tuple[Portal, str]) -> None:
    portal[0].status = 403
    show(page, portal, IFRAME)
    portal[0].status = 200
    watch(page, 6 * 60)
    assert shown(page) == LINK_A


@pytest.mark.usefixtures("stopped_clock")
def test_a_refused_visitor_asks_every_five_minutes_and_is_shown_the_end_of_the_link(
    page: Page, portal: tuple[Portal, str]
) -> None:
    portal[0].link["expires_in"] = 1800
    show(page, portal, IFRAME)
    portal[0].status = 403
    watch(page, 60)
    before = portal[0].reads
    watch(page, 1500)
    assert page.evaluate("seen") == [["reloaded", ""]]
    assert portal[0].reads - before == 5
    watch(page, 240)
    name, reason = page.evaluate("seen.at(-1)")
    assert (name, reason) == ("failed", "the source answered 403")


@pytest.mark.usefixtures("stopped_clock")
def test_a_request_without_an_answer_is_given_up_and_made_again(page: Page, portal: tuple[Portal, str]) -> None:
    show(page, portal, IFRAME)
    settle(page)
    portal[0].replace(expires_in=3000)
    page.route("**/link.json", lambda route: None)
    page.clock.fast_forward(60_000)
    page.unroute("**/link.json")
    before = portal[0].reads
    page.clock.fast_forward(20_000)
    settle(page)
    watch(page, 660)
    assert portal[0].reads > before
    assert shown(page) == LINK_B


#: An SDK whose second token refresher fails, as one does whose Showcase has gone.
FAILING_SDK = """
let made = 0;
export const connect = async () => ({ OAuth: { createTokenRefresher: () => {
    if (made++) throw new Error("the Showcase has gone");
} } });
"""


@pytest.mark.usefixtures("stopped_clock")
def test_an_sdk_that_fails_to_take_a_link_is_loaded_anew(page: Page, portal: tuple[Portal, str]) -> None:
    portal[0].scripts["/sdk.js"] = FAILING_SDK
    show(page, portal, WITH_SDK)
    until(page, "seen.at(-1)[0] === 'connected'")
    portal[0].replace()
    read_again(page, portal[0])
    assert shown(page) == LINK_B
    read_again(page, portal[0])


@pytest.mark.usefixtures("stopped_clock")
def test_a_link_that_is_replaced_adds_nothing_to_the_history(page: Page, portal: tuple[Portal, str]) -> None:
    show(page, portal, f"<p>before</p>{IFRAME.replace('iframe ', 'iframe tabindex=0 ', 1)}<p>after</p>")
    page.frame_locator("iframe").locator("body").wait_for()
    page.evaluate("document.querySelector('iframe').focus()")
    entries = page.evaluate("history.length")
    page.evaluate("document.querySelector('iframe').addEventListener('load', () => seen.push(['load', '']))")
    portal[0].replace()
    frozen(page, 660)
    until(page, "seen.at(-1)[0] === 'load'")
    assert shown(page) == LINK_B
    assert page.evaluate("seen") == [["reloaded", ""], ["reloaded", ""], ["load", ""]]
    assert page.evaluate("history.length") == entries
    assert page.evaluate("document.activeElement.tagName") == "IFRAME"
    assert page.evaluate("document.querySelector('iframe').previousElementSibling.textContent") == "before"
    assert page.evaluate("document.querySelector('iframe').nextElementSibling.textContent") == "after"


@pytest.mark.usefixtures("stopped_clock")
def test_a_space_in_fullscreen_stays_there_when_its_link_is_replaced(page: Page, portal: tuple[Portal, str]) -> None:
    show(page, portal, IFRAME.replace("iframe ", "iframe allowfullscreen ", 1))
    page.evaluate("document.querySelector('iframe').requestFullscreen()")
    until(page, "document.fullscreenElement")
    portal[0].replace()
    frozen(page, 660)
    until(page, "seen.length > 1")
    assert shown(page) == LINK_B
    assert page.evaluate("document.fullscreenElement?.tagName") == "IFRAME"


#: An SDK that counts the token refreshers that are alive.
COUNTING_SDK = """
window.alive = [];
export const connect = async () => ({ OAuth: { createTokenRefresher: ({ access_token: token }) => {
    window.alive.push(token);
    return { dispose: () => window.alive.splice(window.alive.indexOf(token), 1) };
} } });
"""


@pytest.mark.usefixtures("stopped_clock")
def test_one_token_refresher_is_alive_at_a_time_and_none_once_stopped(page: Page, portal: tuple[Portal, str]) -> None:
    portal[0].scripts["/sdk.js"] = COUNTING_SDK
    show(page, portal, '<iframe id="plain"></iframe>' + WITH_SDK.replace("iframe ", "iframe hidden ", 1))
    until(page, "window.alive?.length")
    portal[0].replace()
    read_again(page, portal[0])
    assert page.evaluate("alive") == [TOKEN_B]
    page.evaluate("document.querySelector('[data-pme-source]').remove()")
    keep = """async () => {
        const { keepOpen } = await import("/pme-embed.js");
        window.alive.length = 0;
        window.stop = keepOpen(document.getElementById("plain"), { source: "link.json", sdk: "/sdk.js" });
    }"""
    page.evaluate(keep)
    until(page, "alive.length")
    page.evaluate("stop()")
    assert page.evaluate("alive") == []


@pytest.mark.parametrize("credentials", ["include", "", "omit"])
def test_cookies_go_to_a_source_of_another_origin_only_where_the_page_asks_for_it(
    page: Page, portal: tuple[Portal, str], credentials: str
) -> None:
    own, address = portal
    other = Portal()
    other.headers = {"Access-Control-Allow-Origin": address, "Access-Control-Allow-Credentials": "true"}
    page.context.add_cookies([{"name": "session", "value": "ada", "url": address}])
    with serving_web() as server:
        server.reply = other.answer
        attribute = f' data-pme-credentials="{credentials}"' if credentials else ""
        show(page, (own, address), f'<iframe data-pme-source="{server.address}/link.json"{attribute}></iframe>')
        assert shown(page) == LINK_A
    assert other.cookies == ["session=ada" if credentials == "include" else ""]
