"""What people see in a browser: a published page, and the connection's form with its Test button."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.home import environment
from tests.conftest import MODELS, SECRET
from tests.support.chromium import needs_chromium
from tests.support.home import ROOT, AirflowHome
from tests.support.live import DrivenAirflow, sign_in

pytestmark = needs_chromium


def test_a_published_page_shows_its_space_until_the_link_ends(
    browser: Browser, home: AirflowHome, world: World
) -> None:
    model_id = next(iter(MODELS))
    target = f"{{kind: object_storage, path: 'file://{home.path}/published'}}"
    home.place(f"audience: intranet\nmodels: [{model_id}]\ntargets: [{target}]\n")
    (run,) = home.run_dag(ROOT / "dags" / "pme_nightly_rotation.py")
    assert run["state"] == "success"
    page = browser.new_page()
    page.goto(f"file://{home.path}/published/index.html")
    page.get_by_role("link", name=model_id).click()
    state = page.frame_locator("iframe").locator("#state")
    assert state.text_content() == "live"
    world.move_clock(86_401)
    page.reload()
    assert state.text_content() == "expired"


def test_the_form_and_its_test_button(browser: Browser, address: str, world: World, tmp_path: Path) -> None:
    env = environment(
        tmp_path / "home", address, "audience: a\nmodels: [yyHDFKzPzvN]\ntargets: [{kind: slack, channel: c}]"
    )
    with DrivenAirflow(tmp_path / "home", env) as live:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        sign_in(page, live)
        good = {"login": world.settings.client_id, "password": SECRET, "host": address, "port": urlsplit(address).port}
        _add(page, live, "pme_good", good)
        _add(page, live, "pme_wrong", {**good, "password": "not-the-secret"})
        messages = {conn_id: _test(page, live, conn_id) for conn_id in ("pme_good", "pme_wrong")}
        page.screenshot(path=str(tmp_path / "tested.png"))
    assert "accepts the credentials" in messages["pme_good"]
    assert "Reset the secret" in messages["pme_wrong"]
    assert SECRET not in json.dumps(messages)


def _add(page: Page, live: DrivenAirflow, conn_id: str, fields: dict[str, object]) -> None:
    page.goto(f"{live.address}/connections")
    page.get_by_role("button", name="Add Connection").click()
    page.locator("input[name=connection_id]").fill(conn_id)
    page.locator("[role=dialog] input[role=combobox]").first.click()
    page.keyboard.type("Matterport Private Model Embed")
    page.keyboard.press("Enter")
    for name, value in fields.items():
        page.locator(f"input[name={name}]").fill(str(value))
    page.get_by_role("button", name="Save").click()
    page.get_by_role("row", name=conn_id).wait_for()


def _test(page: Page, live: DrivenAirflow, conn_id: str) -> str:
    """What the button's answer says."""
    page.goto(f"{live.address}/connections")
    row = page.get_by_role("row", name=conn_id)
    with page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answer:
        row.get_by_role("button", name="Test Connection").click()
    page.wait_for_timeout(500)
    return str(answer.value.json().get("message") or answer.value.json())
