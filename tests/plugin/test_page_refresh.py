"""The page in Chromium, over answers of the tests' own that come late or not at all: how old what it shows may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

import pme_airflow.plugin
from tests.support.chromium import needs_chromium

pytestmark = needs_chromium
STATIC = Path(pme_airflow.plugin.__file__).parent / "static"
#: A refresh is due much sooner here than a request is given up.
SHORTER = {"const REFRESH_SECONDS = 10;": "const REFRESH_SECONDS = 0.2;", "timeout(20000)": "timeout(5000)"}
ME = {"may_act": False, "conn_ids": ["pme_default"], "response_dag": "pme_leak_response"}


def slots(word: str) -> dict[str, Any]:
    row = {"state": "live", "model_id": word, "model_name": None, "link_id": "lnk_1", "audience": "a", "target": "t",
           "slot": "s", "slot_key": "k", "minted_at": None, "valid_until": None}  # fmt: skip
    return {"now": None, "counts": {"total": 1}, "matching": 1, "page": 1, "pages": 1, "slots": [row], "problems": []}


class Served:
    """The page, and its requests for data, which a test answers when it likes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answer: Callable[[Route], None] = lambda route: self.give(route, slots("first"))
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        page.on("request", lambda request: self._count(request, 1))
        page.on("requestfinished", lambda request: self._count(request, -1))
        page.on("requestfailed", lambda request: self._count(request, -1))
        page.route("**/*", self._serve)
        page.goto("http://airflow.test/pme/")

    @staticmethod
    def give(route: Route, value: Any) -> None:
        route.fulfill(body=json.dumps(value), content_type="application/json")

    def _serve(self, route: Route) -> None:
        path = urlsplit(route.request.url).path.removeprefix("/pme/")
        if path == "":
            route.fulfill(path=STATIC / "index.html", content_type="text/html")
        elif path.startswith("static/"):
            file = STATIC / path.removeprefix("static/")
            text = file.read_text()
            for long, short in SHORTER.items():
                text = text.replace(long, short)
            route.fulfill(body=text, content_type="text/css" if file.suffix == ".css" else "text/javascript")
        elif path == "api/me":
            self.give(route, ME)
        else:
            self.asked.append(path)
            self.answer(route)

    def _count(self, request: Request, change: int) -> None:
        if request.url.endswith("api/slots"):
            self.at_once += change
            self.most_at_once = max(self.most_at_once, self.at_once)

    def wait_for_requests(self, count: int) -> None:
        for _ in range(300):
            if len(self.asked) >= count:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{len(self.asked)} requests, not {count}")


@pytest.fixture
def served(browser: Browser) -> Iterator[Served]:
    page = browser.new_page()
    yield Served(page)
    page.close()


def test_requests_that_hang_are_a_problem_on_the_page_and_one_at_a_time(served: Served) -> None:
    expect(served.page.get_by_role("link", name="first")).to_be_visible(timeout=30_000)
    hanging: list[Route] = []
    served.answer = hanging.append
    served.asked.clear()
    expect(served.page.locator("#problems p")).to_have_text(
        "Airflow cannot be reached. This page tries again.", timeout=30_000
    )
    assert served.most_at_once == 1
    served.answer = lambda route: served.give(route, slots("again"))
    expect(served.page.get_by_role("link", name="again")).to_be_visible(timeout=30_000)
    expect(served.page.locator("#problems p")).to_have_count(0)


def test_answers_that_take_longer_than_the_refresh_are_shown(served: Served) -> None:
    expect(served.page.get_by_role("link", name="first")).to_be_visible(timeout=30_000)

    waiting: list[Route] = []
    served.answer = waiting.append
    served.asked.clear()
    served.wait_for_requests(1)
    served.page.wait_for_timeout(400)
    served.give(waiting[0], slots("late"))
    expect(served.page.get_by_role("link", name="late")).to_be_visible(timeout=30_000)


def test_an_answer_about_another_query_is_dropped(served: Served) -> None:
    expect(served.page.get_by_role("link", name="first")).to_be_visible(timeout=30_000)
    waiting: list[Route] = []
    served.answer = waiting.append
    served.asked.clear()
    served.wait_for_requests(1)
    served.answer = lambda route: served.give(route, slots("searched" if "search=x" in route.request.url else "other"))
    served.page.get_by_role("searchbox").fill("x")
    expect(served.page.get_by_role("link", name="searched")).to_be_visible(timeout=30_000)
    served.give(waiting[0], slots("stale"))
    served.page.wait_for_timeout(300)
    expect(served.page.get_by_role("link", name="stale")).to_have_count(0)


def test_details_stay_open_and_a_link_keeps_the_focus(served: Served) -> None:
    outage = {"start": "2026-11-01T00:00:00Z", "end": "2026-11-01T01:00:00Z", "failures": 3, "reason": "away"}
    start, end = "2026-10-31T00:00:00Z", "2026-11-02T00:00:00Z"
    row = {**slots("first")["slots"][0], "links": [], "gaps": []}
    timeline = {"now": end, "start": start, "end": end, "matching": 1, "page": 1, "pages": 1, "slots": [row],
                "outages": [outage], "runs": [], "problems": []}  # fmt: skip
    dag = {"dag_id": "pme_link_keeper", "problem": None, "last_run_id": None}
    dags = {"dags": [dag], "triggerer_problem": None, "problem": None}
    health = {"connections": [], "dags": dags, "placements": [], "placements_problem": None,
              "placements_missing": False, "problems": []}  # fmt: skip

    def drawn_twice() -> None:
        served.asked.clear()
        served.wait_for_requests(3)

    served.answer = lambda route: served.give(route, timeline if "timeline" in route.request.url else health)
    served.page.goto("http://airflow.test/pme/?view=timeline")
    expect(served.page.locator("details")).to_be_attached(timeout=30_000)
    served.page.evaluate("document.querySelector('details').open = true")  # a handle's element may be replaced by then
    drawn_twice()
    expect(served.page.get_by_text("3 failures; the last: away")).to_be_visible()
    served.page.goto("http://airflow.test/pme/?view=health")
    keeper = served.page.get_by_role("link", name="pme_link_keeper")
    expect(keeper).to_be_visible(timeout=30_000)
    served.page.evaluate("document.querySelector('td a').focus()")
    drawn_twice()
    expect(keeper).to_be_focused()
