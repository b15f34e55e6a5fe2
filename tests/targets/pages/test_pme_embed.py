"""The script of embed pages in Chromium: it shows links of known hosts over https, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from pme_airflow.targets.pages import embed_page, source
from tests.support.chromium import needs_chromium
from tests.support.embed_portal import LINK_A as GOOD
from tests.support.embed_portal import Portal, show, shown
from tests.support.links import TOKEN_A, TOKEN_B

pytestmark = needs_chromium
#: What would run a script, or show another host.
UNSAFE = [
    "javascript:parent.stolen=1",
    "JavaScript:parent.stolen=1",
    "java\tscript:parent.stolen=1",
    " javascript:parent.stolen=1",
    "data:text/html,<script>parent.stolen=1</script>",
    "vbscript:stolen",
    "blob:https://my.matterport.com/1",
    "file:///etc/passwd",
    "http://my.matterport.com/show?m=Model000000",
    "https://evil.example/show",
    "https://my.matterport.com.evil.example/show",
    "https://evilmatterport.com/show",
    "https://my.matterport.com@evil.example/",
    "https://user:password@my.matterport.com/show",
    "https://evil.example\\@my.matterport.com/",
    "//my.matterport.com/show",
    "/show",
    "",
]


def safe(page: Page, portal: tuple[Portal, str], link: str, hosts: list[str] | None = None) -> Any:
    made, address = portal
    made.page = "<!doctype html>"
    page.goto(f"{address}/page")
    call = "([link, hosts]) => import('/pme-embed.js').then(kit => kit.safeLink(link, hosts || undefined) ?? null)"
    return page.evaluate(call, [link, hosts])


def test_link_of_the_vendor_is_shown(page: Page, portal: tuple[Portal, str]) -> None:
    show(page, portal, '<iframe data-pme-source="link.json"></iframe>')
    assert shown(page) == GOOD
    assert page.evaluate("seen") == [["reloaded", ""]]


@pytest.mark.parametrize("link", UNSAFE)
def test_unsafe_link_from_the_source_is_not_shown(page: Page, portal: tuple[Portal, str], link: str) -> None:
    portal[0].link["link"] = link
    show(page, portal, '<iframe data-pme-source="link.json"></iframe>')
    assert shown(page) is None
    assert page.evaluate("window.stolen") is None
    name, reason = page.evaluate("seen[0]")
    assert name == "failed"
    assert "another scheme or host" in reason


@pytest.mark.parametrize("link", [link for link in UNSAFE if link and not link.startswith("/")])
def test_unsafe_link_in_the_iframe_itself_is_taken_out(page: Page, portal: tuple[Portal, str], link: str) -> None:
    portal[0].link["link"] = "javascript:0"
    show(page, portal, f'<iframe src="{link.replace("<", "&lt;")}" data-pme-source="link.json"></iframe>')
    assert shown(page) is None


def test_link_that_is_replaced_by_an_unsafe_one_stays(page: Page, portal: tuple[Portal, str]) -> None:
    show(page, portal, '<iframe data-pme-source="link.json" data-pme-watch="1"></iframe>')
    portal[0].link.update(access_token=TOKEN_B, link="javascript:parent.stolen=1", expires_in=30)
    before = portal[0].reads
    page.wait_for_function("document.title = 'waiting'")
    while portal[0].reads < before + 2:
        page.wait_for_timeout(50)
    assert shown(page) == GOOD
    assert page.evaluate("window.stolen") is None


@pytest.mark.parametrize(
    ("link", "hosts", "accepted"),
    [
        ("https://my.matterport.com/show", None, True),
        ("https://matterport.com/", None, True),
        ("https://MY.MATTERPORT.COM/show", None, True),
        ("https://my.matterport.com:8443/show", None, True),
        ("https://spaces.example/show", None, False),
        ("https://spaces.example/show", ["spaces.example"], True),
        ("https://eu.spaces.example/show", ["spaces.example"], True),
        ("https://my.matterport.com/show", ["spaces.example"], False),
        ("https://spaces.example:8443/show", ["spaces.example:8443"], True),
        ("https://spaces.example/show", [""], False),
        ("http://spaces.example/show", ["spaces.example"], False),
        ("http://127.0.0.1:9/show", None, True),
        ("http://localhost:9/show", ["spaces.example"], True),
        ("http://127.0.0.1.evil.example/show", None, False),
        ("http://[::1]:9/show", None, True),
    ],
)
def test_host_of_a_link_must_be_known(
    page: Page, portal: tuple[Portal, str], link: str, hosts: list[str] | None, accepted: bool
) -> None:
    assert (safe(page, portal, link, hosts) is not None) is accepted


def test_link_to_the_visitors_own_machine_is_not_shown_on_a_page_of_another(page: Page) -> None:
    page.route(
        "https://portal.example/**",
        lambda route: route.fulfill(
            body=source("pme-embed.js") if "embed" in route.request.url else "<!doctype html>",
            content_type="text/javascript" if "embed" in route.request.url else "text/html",
        ),
    )
    page.goto("https://portal.example/page")
    call = "link => import('/pme-embed.js').then(kit => kit.safeLink(link) ?? null)"
    assert page.evaluate(call, "http://127.0.0.1:9/show") is None
    assert page.evaluate(call, GOOD) == GOOD


@pytest.mark.parametrize(
    "sdk",
    [
        "data:text/javascript,window.stolen=1",
        "javascript:window.stolen=1",
        "http://evil.example/sdk.js",
        "blob:https://evil.example/1",
        "//user@evil.example/sdk.js",
    ],
)
def test_sdk_from_an_unsafe_address_is_not_loaded(page: Page, portal: tuple[Portal, str], sdk: str) -> None:
    show(page, portal, f'<iframe src="{GOOD}" data-pme-source="link.json" data-pme-sdk="{sdk}"></iframe>')
    assert page.evaluate("window.stolen") is None
    name, reason = page.evaluate("seen[0]")
    assert (name, "neither of this server nor https" in reason) == ("failed", True)


@pytest.mark.parametrize("path", ["/sdk.js", "sdk.js"])
def test_sdk_of_the_pages_own_server_is_loaded(page: Page, portal: tuple[Portal, str], path: str) -> None:
    portal[0].scripts["/sdk.js"] = (
        "export const connect = async (iframe, { auth }) => (window.given = auth,"
        " { OAuth: { createTokenRefresher: () => undefined } });"
    )
    show(page, portal, f'<iframe src="{GOOD}" data-pme-source="link.json" data-pme-sdk="{path}"></iframe>')
    assert page.evaluate("given") == TOKEN_A
    assert page.evaluate("seen") == [["connected", ""]]


@pytest.mark.parametrize("address", ["data:application/json,{}", "javascript:1", "http://evil.example/link.json"])
def test_source_at_an_unsafe_address_is_not_read(page: Page, portal: tuple[Portal, str], address: str) -> None:
    show(page, portal, f'<iframe data-pme-source="{address}"></iframe>')
    name, reason = page.evaluate("seen[0]")
    assert (name, "neither of this server nor https" in reason) == ("failed", True)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": TOKEN_A},
        {"access_token": 1, "link": GOOD, "expires_in": 60},
        {"access_token": TOKEN_A, "link": [GOOD], "expires_in": 60},
        {"access_token": TOKEN_A, "link": GOOD},
        {"access_token": TOKEN_A, "link": GOOD, "expires_in": 0},
        {"access_token": TOKEN_A, "link": GOOD, "expires_in": "60"},
        {"access_token": TOKEN_A, "link": GOOD, "valid_until": "2020-01-01T00:00:00Z"},
    ],
)
def test_answer_without_a_link_that_lives_is_a_failure(
    page: Page, portal: tuple[Portal, str], answer: dict[str, Any]
) -> None:
    portal[0].link = answer
    show(page, portal, '<iframe data-pme-source="link.json"></iframe>')
    assert shown(page) is None
    assert page.evaluate("seen")[0][0] == "failed"


def test_watch_of_no_time_asks_once_a_second_at_most(page: Page, portal: tuple[Portal, str]) -> None:
    show(page, portal, '<iframe data-pme-source="link.json" data-pme-watch="0.0001"></iframe>')
    before = portal[0].reads
    page.wait_for_timeout(500)
    assert portal[0].reads - before <= 1


def test_published_page_keeps_its_policy_and_shows_its_space(page: Page, portal: tuple[Portal, str]) -> None:
    made, address = portal
    made.page = embed_page(link=GOOD, title="Hall", valid_until="2026-11-27T02:00:00Z")
    made.scripts["/Model000000/pme-embed.js"] = made.scripts["/pme-embed.js"]
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    page.goto(f"{address}/Model000000/embed.html")
    assert page.frame_locator("iframe").locator("body").text_content() == "a space"
    assert refused == []
    page.evaluate("document.querySelector('iframe').src = 'https://evil.example/'")
    page.wait_for_function("true")
    page.wait_for_timeout(200)
    assert any("frame-src" in text for text in refused)
    assert page.evaluate("fetch('https://evil.example/').then(() => 'sent', () => 'refused')") == "refused"


SDKS = {
    "connect": "export const connect = async (iframe, options) => done(iframe, options);",
    "setupSdk": "export const setupSdk = async (key, { iframe, connectOptions }) => done(iframe, connectOptions, key);",
}
DONE = (
    "const done = (iframe, options, key) => (window.given = { src: iframe.src, options, key, module: import.meta.url },"
    " { OAuth: { createTokenRefresher: () => undefined } });\n"
)


@pytest.mark.parametrize("branch", SDKS)
def test_the_sdk_key_is_on_the_iframes_address_and_on_the_sdks(
    page: Page, portal: tuple[Portal, str], branch: str
) -> None:
    made, address = portal
    made.scripts["/sdk.js?applicationKey=a%20key"] = DONE + SDKS[branch]
    show(
        page,
        portal,
        f'<iframe src="{GOOD}&play=1" data-pme-source="link.json" data-pme-sdk="/sdk.js" data-pme-sdk-key="a key"></iframe>',
    )
    page.wait_for_function("window.given")
    given = page.evaluate("given")
    assert given["src"] == f"{GOOD}&play=1&applicationKey=a%20key"
    assert given["module"] == f"{address}/sdk.js?applicationKey=a%20key"
    assert given["options"] == {"auth": TOKEN_A}
    assert given["key"] in (None, "a key")


def test_a_key_that_is_there_is_not_added_again(page: Page, portal: tuple[Portal, str]) -> None:
    portal[0].scripts["/sdk.js?applicationKey=k"] = DONE + SDKS["connect"]
    keyed = f"{GOOD}&applicationKey=k"
    show(
        page,
        portal,
        f'<iframe src="{keyed}" data-pme-source="link.json" data-pme-sdk="/sdk.js?applicationKey=k" data-pme-sdk-key="k"></iframe>',
    )
    assert page.evaluate("seen") == [["connected", ""]]
    assert shown(page) == keyed


def test_the_iframes_own_parameters_are_kept_when_its_link_is_replaced(page: Page, portal: tuple[Portal, str]) -> None:
    old = f"https://my.matterport.com/show/?play=1&m=Model000000&auth=Bearer+{TOKEN_B}&lang=de&sr=-1.5,.2"
    show(page, portal, f'<iframe src="{old}" data-pme-source="link.json"></iframe>')
    assert shown(page) == f"{GOOD}&play=1&lang=de&sr=-1.5,.2"


def test_a_published_page_has_the_key_in_its_address(page: Page, portal: tuple[Portal, str]) -> None:
    made = embed_page(link=GOOD, title="Hall", valid_until="x", sdk_url="/sdk.js", sdk_key='k"&<')
    assert f"auth=Bearer+{TOKEN_A}&amp;applicationKey=k%22%26%3C" in made
    assert "applicationKey" not in embed_page(link=GOOD, title="Hall", valid_until="x")
