"""A page with a space in Chromium, and the parts of a server that it comes from."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Browser, Frame, Page, Response
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support.home import ROOT

__all__ = ["SDK", "Opened", "events", "site"]

#: The vendor's SDK for Embeds, which ``make node`` installs.
SDK = ROOT / ".venv" / "node" / "node_modules" / "@matterport" / "sdk" / "dist"


class Dated:
    """Adds the server's time to answers, as web servers do, and a policy that allows no inline script."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = b"script-src 'self' http://127.0.0.1:*; object-src 'none'; base-uri 'none'"
                message["headers"] = [*message["headers"], (b"content-security-policy", policy)]
            await send(message)

        await self.app(scope, receive, dated)


def site(folder: Path, *routes: BaseRoute) -> Starlette:
    """A web site that serves a folder, the vendor's SDK, and what else is given."""
    own = [Mount("/sdk", StaticFiles(directory=SDK)), *routes, Mount("/", StaticFiles(directory=folder))]
    return Starlette(routes=own, middleware=[Middleware(Dated)])


class Opened:
    """A page that is being looked at, and all that crosses the network to it."""

    def __init__(self, browser: Browser, address: str, seen: list[str], *, fast: bool = False) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1000, "height": 600})
        self.under_way = 0
        for change, names in ((1, ("request",)), (-1, ("requestfinished", "requestfailed"))):
            for name in names:
                self.page.on(name, lambda _, change=change: self._count(change))  # type: ignore[call-overload]
        if fast:  # only the test moves the page's clock
            self.page.clock.install()
        self.page.on("request", lambda request: seen.append(f"{request.url} {request.headers} {request.post_data}"))
        self.page.on("response", lambda response: seen.append(_body(response)))
        self.page.on("console", lambda message: seen.append(message.text))
        self.page.add_init_script(
            "window.events = []; for (const name of ['connected', 'renewed', 'reloaded', 'failed'])"
            " addEventListener('pme:' + name, e => events.push([name, e.detail]), true);"
        )
        self.page.goto(address)

    def events(self, name: str) -> int:
        return int(self.page.evaluate("name => events.filter(t => t[0] === name).length", name))

    def _count(self, change: int) -> None:
        self.under_way += change

    def settle(self) -> None:
        """Wait until no request is under way."""
        until = time.monotonic() + 30
        self.page.evaluate("1")
        while self.under_way:
            assert time.monotonic() < until, f"{self.under_way} requests are not answered"
            self.page.evaluate("1")

    def wait(self, until: str, seconds: float = 60) -> None:
        """Wait until an expression over ``events`` and the Showcase's ``data`` holds."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"() => {until}"):
            assert time.monotonic() < end, f"never came to: {until}; {self.page.evaluate('events')}"
            self.page.wait_for_timeout(100)

    @property
    def showcase(self) -> Frame:
        return next(frame for frame in self.page.frames if "/show?" in frame.url)

    @property
    def breaks(self) -> int:
        return int(self.showcase.evaluate("Number(document.body.dataset.breaks || 0)"))

    @property
    def state(self) -> str:
        return str(self.showcase.evaluate("document.getElementById('state').textContent"))


def _body(response: Response) -> str:
    try:
        return f"{response.headers} {response.text()}"
    except Exception:  # noqa: BLE001 - of answers without a body
        return str(response.headers)


def events(name: str, count: int) -> str:
    return f"events.filter(t => t[0] === '{name}').length >= {count}"
