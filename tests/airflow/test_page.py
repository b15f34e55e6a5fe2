"""The page "Private links" in a live Airflow: an administrator answers a leak on it, a viewer looks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect, sync_playwright

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import SECRET, environment
from tests.support.live import DrivenAirflow

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
SCRIPT = "<img src=x onerror=\"document.title='changed'\">"
MODELS = {"Model000000": "Great Hall", "Model000001": SCRIPT, "Model000002": "Lobby"}
VIEWER_PASSWORD = "a-viewer-may-look"  # noqa: S105


@pytest.fixture(scope="module")
def world() -> World:
    return World(Settings(client_secret=SECRET, models=MODELS))


@pytest.fixture(scope="module")
def live(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivenAirflow]:
    """An Airflow whose slots show links, with an administrator and a viewer."""
    home = tmp_path_factory.mktemp("page") / "home"
    target = f"{{kind: object_storage, path: 'file://{home}/published'}}"
    with serving(world) as address:
        env = environment(home, address, f"audience: intranet\nmodels: {list(MODELS)}\ntargets: [{target}]\n")
        made = DrivenAirflow(home, env)
        made.env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = "admin:admin,eve:viewer"
        (home / "passwords.json").write_text(json.dumps({"admin": made.password, "eve": VIEWER_PASSWORD}))
        with made:
            made.wait_until_parsed("pme_nightly_rotation", "pme_link_keeper", "pme_leak_response")
            made.seconds("pme_nightly_rotation")
            yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


class Visit:
    """A user who is logged in, and whose browser's complaints are kept."""

    def __init__(self, context: BrowserContext, live: DrivenAirflow, user: str, password: str) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._note(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(live.address)
        self.page.locator("input[name=username]").fill(user)
        self.page.locator("input[name=password]").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{live.address}/")

    def _note(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.complaints.append(text)

    def open(self) -> FrameLocator:
        self.page.get_by_role("button", name="Browse").click()
        self.page.get_by_role("menuitem", name="Private links").click()
        return self.page.frame_locator("iframe")


def test_an_administrator_watches_a_leaked_link_die_and_the_slot_heal(
    live: DrivenAirflow, world: World, browser: Browser
) -> None:
    visit = Visit(browser.new_context(viewport={"width": 1280, "height": 900}), live, "admin", live.password)
    frame = visit.open()
    expect(frame.locator("tbody tr")).to_have_count(len(MODELS), timeout=30_000)
    expect(frame.locator("tbody .badge.live")).to_have_count(len(MODELS))
    expect(frame.get_by_text(SCRIPT)).to_have_count(1)
    leaked = next(issued for issued in world.alive() if issued.model_id == "Model000000")
    frame.get_by_role("link", name="Leaks").click()
    frame.locator("textarea").fill(f"On a forum: https://my.matterport.com/show?m=x&auth=Bearer+{leaked.token}")
    frame.get_by_role("button", name="Look up").click()
    frame.get_by_role("button", name="Flag and revoke 1").click()
    frame.get_by_role("button", name="Revoke now").click()
    expect(frame.get_by_text("Revoked, and confirmed by the API")).to_be_visible(timeout=60_000)
    assert leaked.token not in {issued.token for issued in world.alive()}
    frame.get_by_role("link", name="Now").click()
    expect(frame.locator("tbody .badge.live")).to_have_count(len(MODELS), timeout=120_000)
    frame.get_by_role("link", name="Great Hall").click()
    expect(frame.get_by_role("cell", name="published", exact=True)).to_have_count(1)
    for view in ("Timeline", "Health"):
        frame.get_by_role("link", name=view).click()
        expect(frame.get_by_role("region", name=view)).to_be_visible()
    expect(frame.get_by_text("Nothing is wrong.")).to_be_visible()
    assert (visit.page.title(), visit.complaints) == ("Airflow", [])
    kept = json.dumps(live.call("GET", "dags/pme_leak_response/dagRuns"))
    assert "sha256:" in kept
    assert leaked.token not in kept


def test_a_viewer_looks_and_is_offered_nothing_to_do(live: DrivenAirflow, world: World, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    visit = Visit(context, live, "eve", VIEWER_PASSWORD)
    page = visit.page
    page.goto(f"{live.address}/pme/?view=leaks")
    expect(page.get_by_text("You may look at leaks.")).to_be_visible()
    expect(page.locator("textarea")).to_have_count(0)
    page.get_by_role("link", name="Now").click()
    expect(page.get_by_role("link", name="Great Hall")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    refused = page.evaluate(
        "fetch('api/fingerprint', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        "body: JSON.stringify({text: 'x'})}).then((response) => response.status)"
    )
    assert refused == 403
    anonymous = browser.new_context().request
    for path in ("", "static/main.js", "api/slots", "api/leaks", "api/health", "api/timeline", "api/links/x"):
        assert anonymous.get(f"{live.address}/pme/{path}").status == 401
    assert visit.complaints == []
