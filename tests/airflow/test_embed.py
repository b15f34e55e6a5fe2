"""A space that stays open for longer than its links live: the vendor's own client, through our kit, in Chromium."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, Response, sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.server import serving_app
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.refresh import create_refresh_app
from pme_airflow.targets.object_storage import ObjectStorageTarget
from tests.conftest import MODELS, MakeServices
from tests.support.home import ROOT
from tests.support.rooms import demand, mint, publish, sweep

CHROMIUM = shutil.which("chromium")
SDK = ROOT / ".venv" / "node" / "node_modules" / "@matterport" / "sdk" / "dist"
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.skipif(not SDK.exists(), reason="needs the vendor's SDK, which make node installs"),
]
ONE = next(iter(MODELS))
VALIDITY, RENEW_BEFORE = "20s", timedelta(seconds=12)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def ledger_address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def services(make_services: MakeServices) -> Services:
    return make_services(grace=timedelta(seconds=10))


class Keeper:
    """Keeps one slot's link fresh, as the keeper would with links of twenty seconds."""

    def __init__(self, services: Services, target: ObjectStorageTarget) -> None:
        self.services, self.target = services, target
        self.runs = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        with self._lock:
            self.runs += 1
            name = f"run{self.runs}"
            items = mint(self.services, name, [ONE], demand(VALIDITY, RENEW_BEFORE)).items
            assert publish(self.services, name, self.target, items).failed == []
            sweep(self.services)

    def __enter__(self) -> Keeper:
        self.run()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()
        return self

    def _go(self) -> None:
        while not self._ended.wait(1):
            self.run()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)


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


def portal(folder: Path, services: Services) -> Starlette:
    """A portal: the published folder, the vendor's SDK, and links for whoever may see a model."""
    links = create_refresh_app(
        authorize=lambda request, model_id: "ada", audience="intranet", services=lambda: services,
        requests_per_minute=600,
    )  # fmt: skip
    routes = [
        Mount("/sdk", StaticFiles(directory=SDK)),
        Mount("/links", links),
        Mount("/", StaticFiles(directory=folder)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Dated)])


@pytest.fixture
def place(tmp_path: Path, services: Services) -> Iterator[tuple[str, Keeper]]:
    from airflow.sdk import ObjectStoragePath

    folder = tmp_path / "out"
    root = ObjectStoragePath(f"file://{folder}")
    target = ObjectStorageTarget(root, sdk_url="/sdk/index.esm.js", sdk_key="a-key")
    folder.mkdir()
    with Keeper(services, target) as keeper, serving_app(lambda _: portal(folder, services)) as address:
        yield address, keeper


class Opened:
    """A page that is being looked at, and all that crosses the network to it."""

    def __init__(self, browser: Browser, address: str, seen: list[str]) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1000, "height": 600})
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


def test_an_open_space_outlives_its_links_and_a_revocation(
    browser: Browser, place: tuple[str, Keeper], services: Services, world: World, tmp_path: Path
) -> None:
    address, keeper = place
    seen: list[str] = []
    opened = Opened(browser, f"{address}/{ONE}/embed.html", seen)
    opened.wait(events("connected", 1))
    opened.wait(events("renewed", 3), 90)
    assert opened.page.evaluate("events.filter(t => t[0] === 'renewed').every(t => t[1].by === 'sdk')")
    assert (opened.breaks, opened.state, opened.events("reloaded"), opened.events("failed")) == (0, "live", 0, 0)
    opened.page.screenshot(path=tmp_path / "open.png")

    _revoke_all(services)
    opened.page.wait_for_timeout(600)
    assert opened.state == "expired"
    opened.page.screenshot(path=tmp_path / "revoked.png")
    keeper.run()
    opened.page.evaluate("dispatchEvent(new Event('focus'))")
    opened.wait("events.some(t => t[0] === 'renewed' && t[1].by === 'watch')")
    opened.page.wait_for_timeout(600)
    assert (opened.state, opened.events("reloaded")) == ("live", 0)

    heard = "\n".join(seen)
    assert any(token in heard for token in world.tokens)
    assert world.applications
    assert not any(application in heard for application in world.applications)
    assert world.settings.client_secret not in heard


def test_without_the_sdk_the_iframe_is_loaded_anew_in_time(
    browser: Browser, place: tuple[str, Keeper], tmp_path: Path, world: World
) -> None:
    """It reads a portal's endpoint instead of the published file."""
    address, _ = place
    page = tmp_path / "out" / "plain.html"
    first = next(iter(world.tokens))
    link = (tmp_path / "out" / ONE / "link.json").read_text()
    assert first in link
    page.write_text(
        f'<iframe title="Space" referrerpolicy="no-referrer" data-pme-source="/links/{ONE}" data-pme-watch="1"></iframe>'
        '<script type="module" src="pme-embed.js"></script>'
    )
    opened = Opened(browser, f"{address}/plain.html", [])
    opened.wait(events("reloaded", 3), 60)
    opened.page.wait_for_timeout(600)
    assert (opened.state, opened.events("failed")) == ("live", 0)


def _revoke_all(services: Services) -> None:
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", audiences=["intranet"])
    sweep(services)
