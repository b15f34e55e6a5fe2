"""The page "Private links" in a live Airflow: an administrator answers a leak on it, a viewer looks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect
from sqlalchemy import select

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import SECRET, environment
from pme_airflow.durations import Validity
from pme_airflow.ledger import flags, publications
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import flags as tombstones
from pme_airflow.ledger.tables import links, models
from pme_airflow.ledger.tables import publications as slots
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.chromium import needs_chromium
from tests.support.databases import fields_of
from tests.support.ledgers import change, ledger_at, mint, task
from tests.support.live import DrivenAirflow, sign_in
from tests.support.postgres import KillablePostgres, killable_postgres

pytestmark = needs_chromium
SCRIPT = "<img src=x onerror=\"document.title='changed'\">"
MODELS = {"Model000000": "Great Hall", "Model000001": SCRIPT, "Model000002": "Lobby"}
VIEWER_PASSWORD = "a-viewer-may-look"  # noqa: S105
#: Each would set a mark or leave the page if it were more than text.
CORPUS = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg/onload=window.pwned=1>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    '"><script>window.pwned=1</script>',
    "' onmouseover='window.pwned=1",
    "</td></table><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<a href='javascript:window.pwned=1'>click</a>",
    "javascript:window.pwned=1",
    "<form action=javascript:window.pwned=1><input type=submit autofocus></form>",
    "<details open ontoggle=window.pwned=1>",
    "<style>@import 'http://127.0.0.1:1/x.css';*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:1/'>",
    "<base href='http://127.0.0.1:1/'>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=window.pwned=1>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "<!--><script>window.pwned=1</script>-->",
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(Settings(client_secret=SECRET, models=MODELS))


@pytest.fixture(scope="module")
def postgres() -> Iterator[KillablePostgres]:
    with killable_postgres() as made:
        yield made


@pytest.fixture(scope="module")
def ledger(postgres: KillablePostgres) -> Database:
    """The ledger as this process reads and changes it."""
    return ledger_at(postgres.address)


@pytest.fixture(scope="module")
def live(world: World, postgres: KillablePostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivenAirflow]:
    """An Airflow whose slots show links, with an administrator and a viewer."""
    home = tmp_path_factory.mktemp("page") / "home"
    target = f"{{kind: object_storage, path: 'file://{home}/published'}}"
    with serving(world) as address:
        env = environment(home, address, f"audience: intranet\nmodels: {list(MODELS)}\ntargets: [{target}]\n")
        connection = json.loads(env["AIRFLOW_CONN_PME_DEFAULT"]) | {"extra": {"ledger_conn_id": "ledger"}}
        env["AIRFLOW_CONN_PME_DEFAULT"] = json.dumps(connection)
        env["AIRFLOW_CONN_LEDGER"] = json.dumps(fields_of(postgres.address))
        made = DrivenAirflow(home, env)
        made.env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = "admin:admin,eve:viewer"
        (home / "passwords.json").write_text(json.dumps({"admin": made.password, "eve": VIEWER_PASSWORD}))
        with made:
            made.wait_until_parsed(
                "pme_nightly_rotation", "pme_link_keeper", "pme_leak_response", "pme_revocation_sweep"
            )
            made.seconds("pme_nightly_rotation")
            yield made


#: Counts what the policy refuses. Airflow 3.2 loads its own editor from a CDN, and leaves it unhandled where that cannot be
#: reached; a rejection by any other cause is an error of the page.
WATCH = """
window.violations = 0;
document.addEventListener('securitypolicyviolation', () => { window.violations += 1; });
addEventListener('unhandledrejection', (event) => {
  const source = event.reason?.target?.src ?? '';
  if (source.startsWith('https://cdn.jsdelivr.net/npm/monaco-editor@')) event.preventDefault();
});
"""


class Visit:
    """A user who is logged in, and whose browser's complaints are kept."""

    def __init__(self, context: BrowserContext, live: DrivenAirflow, user: str, password: str) -> None:
        context.add_init_script(WATCH)
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("console", lambda message: self._note(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        sign_in(self.page, live, user, password)

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


def paused(live: DrivenAirflow, dag_id: str, value: bool) -> None:
    live.call("PATCH", f"dags/{dag_id}", {"is_paused": value})


def aged(ledger: Database, length: timedelta) -> list[str]:
    """Let the shown links of the audience be this old; their ids."""
    made = datetime.now(timezone.utc) - length
    until = made + timedelta(hours=24)
    with ledger.write() as tx:
        shown = list(tx.scalars(select(slots.c.link_id).where(slots.c.audience == "intranet")))
        tx.execute(links.update().where(links.c.link_id.in_(shown)).values(minted_at=made, valid_until=until))
    return shown


def warnings(live: DrivenAirflow) -> list[dict[str, Any]]:
    """The extras of the events on ``pme://at-risk/intranet``."""
    found = live.call("GET", "assets/events", limit=1000)["asset_events"]
    return [event["extra"] for event in found if event["uri"] == "pme://at-risk/intranet"]


def test_a_viewer_sees_a_slot_go_from_live_to_due_to_renewed_and_its_risk_is_posted_once(
    live: DrivenAirflow, ledger: Database, browser: Browser
) -> None:
    visit = Visit(browser.new_context(viewport={"width": 1280, "height": 900}), live, "eve", VIEWER_PASSWORD)
    page = visit.page
    page.goto(f"{live.address}/pme/?view=now&audience=intranet")
    expect(page.locator("tbody .badge.live")).to_have_count(len(MODELS), timeout=120_000)
    paused(live, "pme_link_keeper", True)
    old = aged(ledger, timedelta(hours=14))
    expect(page.locator("tbody .badge.due")).to_have_count(len(MODELS), timeout=60_000)
    live.seconds("pme_revocation_sweep")
    (warning,) = warnings(live)
    assert (warning["slots"], {slot["link_id"] for slot in warning["at_risk"]}) == (len(MODELS), set(old))
    assert "Is pme_link_keeper paused or failing?" in warning["message"]
    live.seconds("pme_revocation_sweep")
    assert len(warnings(live)) == 1
    paused(live, "pme_link_keeper", False)
    live.seconds("pme_link_keeper")
    expect(page.locator("tbody .badge.live")).to_have_count(len(MODELS), timeout=60_000)
    page.get_by_role("link", name="Great Hall").click()
    expect(page.get_by_role("cell", name="published", exact=True)).to_have_count(1)
    assert page.evaluate("new URLSearchParams(location.search).get('link')") not in old
    assert visit.complaints == []


def test_no_name_reason_target_or_slot_runs_as_script(live: DrivenAirflow, ledger: Database, browser: Browser) -> None:
    client_id = json.loads(live.env["AIRFLOW_CONN_PME_DEFAULT"])["login"]
    demand = Demand(client_id, "corpus", Validity.parse("24h"))
    named = {f"Corpus{number:05d}": text for number, text in enumerate(CORPUS)}
    for model_id, text in named.items():
        row = mint(ledger, demand, model_id)
        with ledger.write(task("corpus")) as tx:
            tx.execute(models.insert().values(client_id=client_id, model_id=model_id, name=f"name {text}"))
            publications.publish(tx, f"target {text}", [Shown(f"slot {text}", row.link_id, {})], claimed=False)
            flags.flag(tx, f"reason {text}", link_ids=[row.link_id])
        change(ledger, row.link_id, state=State.REVOKED, revoked_at=datetime.now(timezone.utc))
    visit = Visit(browser.new_context(viewport={"width": 1280, "height": 900}), live, "admin", live.password)
    page = visit.page

    def check(view: str, ready: Callable[[], None]) -> None:
        page.goto(f"{live.address}/pme/?{view}")
        ready()
        assert page.evaluate("[window.pwned ?? null, window.violations, location.pathname]") == [None, 0, "/pme/"], view

    def shows(*prefixes: str) -> Callable[[], None]:
        def wait() -> None:
            for prefix in prefixes:
                for text in CORPUS:
                    expect(page.get_by_text(f"{prefix} {text}").first).to_be_attached(timeout=30_000)

        return wait

    check("view=now&audience=corpus", shows("name", "target", "slot"))
    check("view=timeline&audience=corpus", shows("name"))
    check("view=leaks", shows("reason"))
    check("view=health", lambda: expect(page.get_by_role("region", name="Health")).to_be_visible())
    page.goto(f"{live.address}/pme/?view=now&audience=corpus")
    page.get_by_role("link", name=f"name {CORPUS[0]}").click()
    expect(page.get_by_text(f"reason {CORPUS[0]}").first).to_be_visible()
    assert page.evaluate("[window.pwned ?? null, window.violations]") == [None, 0]
    assert visit.complaints == []


def test_events_that_come_close_together_are_all_answered(live: DrivenAirflow, ledger: Database) -> None:
    """Airflow starts fewer runs than there are events, and gives them only some of the events."""
    (asset,) = live.call("GET", "assets", uri_pattern="pme://leaks")["assets"]
    posted = {fingerprint(AccessToken(f"a token of nobody, {number}")) for number in range(12)}
    for each in sorted(posted):
        live.call("POST", "assets/events", {"asset_id": asset["id"], "extra": {"fingerprints": [each]}})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not posted <= kept_flags(ledger):
        time.sleep(1)
    assert posted - kept_flags(ledger) == set()


def kept_flags(ledger: Database) -> set[str]:
    with ledger.read() as tx:
        return set(tx.scalars(select(tombstones.c.fingerprint)))


def test_very_many_links_wait_for_a_persons_answer_in_airflow(
    live: DrivenAirflow, world: World, browser: Browser
) -> None:
    visit = Visit(browser.new_context(viewport={"width": 1280, "height": 900}), live, "admin", live.password)
    alive = {issued.token for issued in world.alive()}
    conf = {"audiences": ["intranet"], "confirm_over": 2, "reason": "a mirrored site"}
    run_id = live.trigger("pme_leak_response", conf)
    visit.page.goto(f"{live.address}/required_actions")
    question = visit.page.get_by_text(re.compile(r"Revoke \d+ links\?")).first
    for _ in range(12):
        with suppress(AssertionError):
            expect(question).to_be_visible(timeout=5_000)
            break
        visit.page.reload()
    expect(question).to_be_visible()
    assert alive <= {issued.token for issued in world.alive()}
    path = f"dags/pme_leak_response/dagRuns/{run_id}/taskInstances/respond_pme_default/-1/hitlDetails"
    live.call("PATCH", path, {"chosen_options": ["Revoke"], "params_input": {}})
    assert live.wait_for("pme_leak_response", run_id) == "success"
    assert not alive & {issued.token for issued in world.alive()}


def test_a_kill_of_the_database_is_a_sentence_and_the_page_recovers_by_itself(
    live: DrivenAirflow, postgres: KillablePostgres, browser: Browser
) -> None:
    visit = Visit(browser.new_context(viewport={"width": 1280, "height": 900}), live, "admin", live.password)
    page = visit.page
    page.goto(f"{live.address}/pme/?view=now&audience=intranet")
    expect(page.locator("tbody tr")).to_have_count(len(MODELS), timeout=30_000)
    statuses: list[int] = []
    page.on("response", lambda response: statuses.append(response.status))
    postgres.kill()
    try:
        expect(page.locator("#problems p")).to_contain_text("ledger", ignore_case=True, timeout=60_000)
    finally:
        postgres.start()
    expect(page.locator("#problems p")).to_have_count(0, timeout=60_000)
    expect(page.locator("tbody tr")).to_have_count(len(MODELS))
    assert max(statuses) < 500
    assert visit.complaints == []
