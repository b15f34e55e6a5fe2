"""The page's leak dialog in Chromium, over answers of the tests' own: what it calls revoked, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

import pme_airflow.plugin
from tests.support.chromium import needs_chromium

pytestmark = needs_chromium
STATIC = Path(pme_airflow.plugin.__file__).parent / "static"
PAGE = """<!doctype html><body><script type="module">
import { response } from "./static/response.js";
document.body.append(response({ refresh() {} }).root);
</script></body>"""
REVOKED = "Revoked, and confirmed by the API"
AWAY = {"conn_id": "team_b", "message": "The ledger of the connection team_b cannot be read."}
FIRST, SECOND = (f"sha256:{digit:064d}" for digit in (1, 2))


def link(fingerprint: str, state: str) -> dict[str, Any]:
    return {
        "link_id": f"lnk_{fingerprint[-1]}", "fingerprint": fingerprint, "state": state, "models": ["yyHDFKzPzvN"],
        "model_name": None, "audience": "intranet", "slots": 1, "flagged_at": None, "valid_until": None,
        "exposure_seconds": None,
    }  # fmt: skip


class Dialog:
    """The dialog, and what Airflow and the ledgers answer it; a test changes that while it is open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.run = "running"
        self.lost: tuple[str, str] | None = None
        self.asked = 0
        self.answer = self.found(link(FIRST, "live"), link(SECOND, "live"))
        page.route("**/*", self._answer)
        page.goto("http://airflow.test/pme/")

    @staticmethod
    def found(*links: dict[str, Any], unknown: tuple[str, ...] = (), problems: tuple[Any, ...] = ()) -> dict[str, Any]:
        return {"links": list(links), "total": len(links), "unknown": list(unknown), "notes": [],
                "problems": list(problems), "fingerprints": [], "form": "plain text"}  # fmt: skip

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix("http://airflow.test/")
        if path == "pme/":
            route.fulfill(body=PAGE, content_type="text/html")
        elif path.startswith("pme/static/"):
            route.fulfill(path=STATIC / path.removeprefix("pme/static/"), content_type="text/javascript")
        elif (route.request.method, path.rpartition("/")[2]) == self.lost:
            route.abort()
        elif path == "pme/api/fingerprint":
            self.asked += 1
            self._json(route, self.answer)
        else:
            self._json(route, {"is_paused": False, "dag_run_id": "run", "state": self.run})

    def _json(self, route: Route, value: Any) -> None:
        route.fulfill(body=json.dumps(value), content_type="application/json")

    def look_up(self) -> None:
        self.page.locator("textarea").fill("what leaked")
        self.page.get_by_role("button", name="Look up").click()

    def start(self, *unknown: str) -> None:
        """Look up, choose all that is listed, and these of no known link, and revoke."""
        self.look_up()
        for each in unknown:
            self.page.locator("details").evaluate("(element) => { element.open = true; }")
            self.page.get_by_label(f"Flag {each}").check()
        self.page.get_by_role("button", name="Flag and revoke").click()
        self.page.get_by_role("button", name="Revoke now").click()
        expect(self.page.get_by_role("heading", name="Revoking …")).to_be_visible(timeout=30_000)

    def ends(self, run: str, answer: dict[str, Any], title: str) -> None:
        """The title that is shown once the run and the ledgers answer this; none is shown that calls more revoked."""
        self.run, self.answer = run, answer
        expect(self.page.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=30_000)
        if title != REVOKED:
            expect(self.page.get_by_text(REVOKED, exact=True)).to_have_count(0)


@pytest.fixture
def dialog(browser: Browser) -> Iterator[Dialog]:
    page = browser.new_page()
    yield Dialog(page)
    page.close()


BOTH = Dialog.found(link(FIRST, "revoked"), link(SECOND, "revoked"))
ONE_LEFT_OUT = Dialog.found(link(FIRST, "revoked"))
SEARCHED_IN_PART = Dialog.found(link(FIRST, "revoked"), unknown=(SECOND,), problems=(AWAY,))
NOTHING_SEARCHED = Dialog.found(problems=(AWAY,))
ONE_EXPIRED = Dialog.found(link(FIRST, "revoked"), link(SECOND, "expired"))
ONE_ALIVE = Dialog.found(link(FIRST, "revoked"), link(SECOND, "live"))


@pytest.mark.parametrize(
    ("run", "answer", "title"),
    [
        ("running", BOTH, REVOKED),
        ("success", BOTH, REVOKED),
        ("failed", BOTH, "The run failed"),
        ("failed", ONE_ALIVE, "NOT all are revoked"),
        ("running", ONE_ALIVE, "Revoking …"),
        ("success", ONE_LEFT_OUT, "NOT all are confirmed"),
        ("success", SEARCHED_IN_PART, "NOT all are confirmed"),
        ("success", NOTHING_SEARCHED, "NOT all are confirmed"),
        ("success", ONE_EXPIRED, "1 link revoked, and confirmed by the API; 1 link expired"),
    ],
    ids=["running", "success", "failed", "failed alive", "running alive", "left out", "part", "nothing", "expired"],
)
def test_revoked_is_what_every_ledger_was_asked_about_and_the_api_confirmed(
    dialog: Dialog, run: str, answer: dict[str, Any], title: str
) -> None:
    dialog.start()
    dialog.ends(run, answer, title)


def test_what_was_not_searched_is_named_and_asked_again(dialog: Dialog) -> None:
    dialog.start()
    dialog.ends("success", SEARCHED_IN_PART, "NOT all are confirmed")
    expect(dialog.page.get_by_text(AWAY["message"])).to_be_visible(timeout=30_000)
    dialog.ends("success", BOTH, REVOKED)
    expect(dialog.page.get_by_text(AWAY["message"])).to_have_count(0)


def test_what_is_not_listed_is_named(dialog: Dialog) -> None:
    dialog.start()
    dialog.ends("success", ONE_LEFT_OUT, "NOT all are confirmed")
    expect(dialog.page.get_by_text("NOT listed")).to_contain_text(SECOND)


def test_a_flag_is_a_tombstone_once_the_run_has_ended_well(dialog: Dialog) -> None:
    dialog.answer = answer = dialog.found(unknown=(FIRST,))
    dialog.start(FIRST)
    dialog.page.wait_for_timeout(1500)
    expect(dialog.page.get_by_role("heading", name="Revoking …")).to_be_visible(timeout=30_000)
    expect(dialog.page.get_by_text("tombstone")).to_have_count(0)
    dialog.ends("success", answer, "1 flag of no known link, kept as a tombstone")
    expect(dialog.page.get_by_text("Of no known link:")).to_contain_text(FIRST)


def test_a_look_up_that_did_not_reach_a_ledger_does_not_say_that_nothing_is_there(dialog: Dialog) -> None:
    dialog.answer = NOTHING_SEARCHED
    dialog.look_up()
    expect(dialog.page.get_by_text(AWAY["message"])).to_be_visible(timeout=30_000)
    expect(dialog.page.get_by_text("No link of yours")).to_have_count(0)


def test_a_start_whose_answer_is_lost_may_have_been_carried_out(dialog: Dialog) -> None:
    dialog.lost = ("POST", "dagRuns")
    dialog.look_up()
    dialog.page.get_by_role("button", name="Flag and revoke").click()
    dialog.page.get_by_role("button", name="Revoke now").click()
    expect(dialog.page.get_by_text("the run may have started")).to_be_visible(timeout=30_000)
    runs = dialog.page.get_by_role("link", name="pme_leak_response")
    expect(runs).to_have_attribute("href", "http://airflow.test/dags/pme_leak_response/runs")
    expect(dialog.page.get_by_text("tries again")).to_have_count(0)
    expect(dialog.page.get_by_text("not done")).to_have_count(0)
    dialog.lost = None
    dialog.page.get_by_role("button", name="Revoke now").click()
    dialog.ends("success", BOTH, REVOKED)


def test_a_look_up_whose_answer_is_lost_is_to_be_repeated(dialog: Dialog) -> None:
    dialog.lost = ("POST", "fingerprint")
    dialog.look_up()
    expect(dialog.page.get_by_text("Press Look up again.")).to_be_visible(timeout=30_000)
    expect(dialog.page.get_by_text("tries again")).to_have_count(0)
    expect(dialog.page.locator("textarea")).to_have_value("what leaked")


def test_what_was_pasted_stays_until_all_is_searched(dialog: Dialog) -> None:
    dialog.answer = SEARCHED_IN_PART
    dialog.look_up()
    expect(dialog.page.get_by_text("is still in the box")).to_be_visible(timeout=30_000)
    expect(dialog.page.locator("textarea")).to_have_value("what leaked")
    dialog.answer = BOTH
    dialog.page.get_by_role("button", name="Look up").click()
    expect(dialog.page.locator("textarea")).to_have_value("", timeout=30_000)
    expect(dialog.page.get_by_text("is still in the box")).to_have_count(0)


def test_what_is_announced_has_no_clock_and_the_run_link_keeps_the_focus(dialog: Dialog) -> None:
    dialog.start()
    run = dialog.page.get_by_role("link", name="running")
    expect(run).to_be_visible(timeout=30_000)
    run.focus()
    dialog.page.evaluate(
        """() => {
          window.announced = 0;
          const observer = new MutationObserver((changes) => { window.announced += changes.length; });
          const watched = { childList: true, characterData: true, subtree: true };
          observer.observe(document.querySelector("[aria-live]"), watched);
        }"""
    )
    since = dialog.page.get_by_text("since the start").inner_text()
    expect(dialog.page.get_by_text("since the start")).not_to_have_text(since, timeout=30_000)
    assert dialog.page.evaluate("window.announced") == 0
    expect(run).to_be_focused()


def test_nothing_is_asked_for_a_view_that_nobody_looks_at_or_that_was_left(dialog: Dialog) -> None:
    def asked_in(milliseconds: int) -> int:
        before = dialog.asked
        dialog.page.wait_for_timeout(milliseconds)
        return dialog.asked - before

    dialog.start()
    dialog.page.evaluate("Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })")
    asked_in(500)
    assert asked_in(2500) == 0
    dialog.page.evaluate("delete document.hidden")
    assert asked_in(2500) > 0
    dialog.page.evaluate("document.querySelector('.answer').remove()")
    asked_in(500)
    assert asked_in(2500) == 0
