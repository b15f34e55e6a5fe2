"""A portal with a page that embeds a space: its source of links, and what a test does with the page in Chromium."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Page

from pme_airflow.targets.pages import source
from tests.support.links import TOKEN_A, TOKEN_B
from tests.support.web import Received, Reply

__all__ = ["LINK_A", "LINK_B", "Portal", "settle", "show", "shown", "until"]

LINK_A = f"https://my.matterport.com/show?m=Model000000&auth=Bearer+{TOKEN_A}"
LINK_B = f"https://my.matterport.com/show?m=Model000000&auth=Bearer+{TOKEN_B}"
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_JAVASCRIPT = {"Content-Type": "text/javascript"}


class Portal:
    """A server with a page, and a source of links for it.

    :ivar status: the status of the source's responses.
    :ivar headers: headers that are added to them.
    :ivar cookies: the cookies that the source was sent.
    """

    def __init__(self) -> None:
        self.page = ""
        self.link: dict[str, Any] = {"access_token": TOKEN_A, "link": LINK_A, "expires_in": 3600}
        self.scripts: dict[str, str] = {"/pme-embed.js": source("pme-embed.js")}
        self.reads = 0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.cookies: list[str] = []

    def replace(self, expires_in: int = 3600) -> None:
        """Replace the link by the second one."""
        self.link = {"access_token": TOKEN_B, "link": LINK_B, "expires_in": expires_in}

    def answer(self, request: Received) -> Reply:
        if request.path in self.scripts:
            return Reply(200, self.scripts[request.path].encode(), _JAVASCRIPT)
        if request.path == "/link.json":
            self.reads += 1
            return self._answer_source(request.headers)
        return Reply(200, self.page.encode(), _HTML)

    def _answer_source(self, headers: Mapping[str, str]) -> Reply:
        self.cookies.append(headers.get("Cookie", ""))
        body = json.dumps(self.link if self.status == 200 else {"error": "refused"}).encode()
        return Reply(self.status, body, {"Content-Type": "application/json", **self.headers})


def show(page: Page, portal: tuple[Portal, str], iframe: str) -> None:
    """Open a page with an iframe, and wait for the script's first event."""
    made, address = portal
    made.page = f'<!doctype html>{iframe}<script type="module" src="/pme-embed.js"></script>'
    page.goto(f"{address}/page")
    until(page, "seen.length > 0")


def shown(page: Page) -> str | None:
    """The address in the iframe."""
    found = page.evaluate("document.querySelector('iframe').getAttribute('src')")
    return None if found is None else str(found)


def settle(page: Page) -> None:
    """Wait until the page's requests are answered, and its script has taken the responses."""
    end = time.monotonic() + 30
    while page.evaluate("window.underWay"):
        assert time.monotonic() < end, "a request is not answered"
        time.sleep(0.01)


def until(page: Page, expression: str, seconds: float = 30) -> None:
    """Wait until an expression holds, by the clock of this machine: that of the page may be the test's."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"() => Boolean({expression})"):
        assert time.monotonic() < end, f"never came to: {expression}; {page.evaluate('window.seen')}"
        time.sleep(0.02)
