"""A space that stays open for longer than its links live: the vendor's own client, through our kit, in Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.routing import Mount

from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.server import serving_app
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.refresh import create_refresh_app
from pme_airflow.targets.object_storage import ObjectStorageTarget
from pme_airflow.targets.pages import source
from tests.conftest import MODELS, MakeServices
from tests.support.chromium import needs_chromium
from tests.support.clocks import FakeClock
from tests.support.rooms import demand, mint, publish, rows, sweep
from tests.support.showcase import SDK, Opened, events, site

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(not SDK.exists(), reason="needs the vendor's SDK, which make node installs"),
]
ONE = next(iter(MODELS))
#: Seconds by which the clocks are moved together.
STEP = 30
VALIDITY, RENEW_BEFORE = "20s", timedelta(seconds=12)


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


def portal(folder: Path, services: Services) -> Starlette:
    """A portal: the published folder, the vendor's SDK, and links for whoever may see a model."""
    links = create_refresh_app(
        authorize=lambda request, model_id: "ada", audience="intranet", services=lambda: services,
        requests_per_minute=600,
    )  # fmt: skip
    return site(folder, Mount("/links", links))


@pytest.fixture
def place(tmp_path: Path, services: Services) -> Iterator[tuple[str, Keeper]]:
    from airflow.sdk import ObjectStoragePath

    folder = tmp_path / "out"
    root = ObjectStoragePath(f"file://{folder}")
    target = ObjectStorageTarget(root, sdk_url="/sdk/index.esm.js", sdk_key="a-key")
    folder.mkdir()
    with Keeper(services, target) as keeper, serving_app(lambda _: portal(folder, services)) as address:
        yield address, keeper


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


def test_the_vendors_sdk_stays_open_over_five_tokens_of_ten_minutes(
    browser: Browser, world: World, make_services: MakeServices, tmp_path: Path
) -> None:
    """In fast time, with a viewer's own tokens: the clocks of browser, refresh app and API are moved together."""
    clock = FakeClock(start=world.now())
    world.now = clock.now  # type: ignore[method-assign]
    services = make_services(clock)
    links = create_refresh_app(
        authorize=lambda request, model_id: "ada", audience="intranet", mint="10m", services=lambda: services,
        requests_per_minute=600,
    )  # fmt: skip
    (tmp_path / "pme-embed.js").write_text(source("pme-embed.js"))
    (tmp_path / "page.html").write_text(
        f'<iframe title="Space" referrerpolicy="no-referrer" data-pme-source="/links/token?modelId={ONE}" '
        'data-pme-sdk="/sdk/index.esm.js" data-pme-sdk-key="a-key" data-pme-watch="86400"></iframe>'
        '<script type="module" src="pme-embed.js"></script>'
    )
    with serving_app(lambda _: site(tmp_path, Mount("/links", links))) as address:
        opened = Opened(browser, f"{address}/page.html", [], fast=True)
        opened.wait(events("connected", 1))
        states = set()
        for _ in range(5 * 10 * 60 // STEP):
            clock.advance(STEP)
            opened.page.clock.fast_forward(STEP * 1000)
            opened.settle()
            states.add(opened.state)
        renewed = opened.page.evaluate("events.filter(t => t[0] === 'renewed').map(t => t[1].by)")
    assert states == {"live"}
    assert renewed == ["sdk"] * 5
    assert (opened.breaks, opened.events("failed")) == (0, 0)
    assert len(rows(services)) == len(world.tokens) == 6


def _revoke_all(services: Services) -> None:
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", audiences=["intranet"])
    sweep(services)
