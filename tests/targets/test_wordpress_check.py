"""Whether pages still show their links is found out in one request for a hundred pages, and put right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.base import SlotCheck
from pme_airflow.targets.wordpress_content import link_embed
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.fake_wordpress import MODEL, OTHER, FakeWordPress, Page, link, response
from tests.support.rooms import mint, publish

TOKEN = "t" * 25
SHOWN = f"before {link_embed(link(TOKEN))} after"
BARE = SHOWN.replace(f"<!-- pme:{MODEL} -->", "").replace(f"<!-- /pme:{MODEL} -->", "")


def publication(path: str = "pages/1", **details: Any) -> Publication:
    held = {"path": path, "fingerprint": fingerprint(AccessToken(TOKEN)), **details}
    now = datetime(2026, 11, 1, tzinfo=timezone.utc)
    slot = f"{path}#{MODEL}"
    return Publication("key", "wordpress:x", slot, "link-1", 1, MODEL, "intranet", now, "dag/run/task/-1", held)


def check(site: FakeWordPress, *shown: Publication) -> SlotCheck:
    found = site.target().check_shown(shown or [publication()])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("raw", "lost"),
    [
        (SHOWN, False),
        (BARE, False),
        (SHOWN.replace("Bearer+", "token="), False),
        (SHOWN.replace('title="Mill Street 4" ', "").replace("&amp;", "&#038;"), False),
        ("before after", True),
        (f"before [pme model={MODEL}]", True),
        (f"before <!-- pme:{MODEL} --><!-- /pme:{MODEL} -->", True),
        (f"before {link_embed(link('o' * 25))}", True),
        (f"before {link_embed(link(TOKEN, OTHER))}", True),
    ],
)
def test_a_page_that_lost_its_link_is_found(raw: str, lost: bool) -> None:
    site = FakeWordPress(p1=raw)
    found = check(site)
    assert set(found.lost) == ({f"pages/1#{MODEL}"} if lost else set())
    if not lost:
        assert found.details[f"pages/1#{MODEL}"]["modified"] == "2026-11-01T00:00:00"


def test_a_page_that_nobody_saved_since_is_not_read() -> None:
    site = FakeWordPress(p1="whatever it holds")
    found = check(site, publication(modified="2026-11-01T00:00:00"))
    assert found == SlotCheck(set(), {})
    assert [asked.query["_fields"] for asked in site.seen] == ["id,modified_gmt"]


def test_a_page_that_somebody_saved_is_read() -> None:
    site = FakeWordPress(p1=SHOWN)
    seen = check(site).details[f"pages/1#{MODEL}"]
    site.pages["pages/1"].edit("before after")
    assert check(site, publication(**seen)).lost
    assert "content.raw" in site.seen[-1].query["_fields"]


@pytest.mark.parametrize(
    "answer", ['[{"id": 1}]', '[{"id": 1, "modified_gmt": null}]', '[{"id": 1, "modified_gmt": ""}]']
)
def test_a_page_whose_last_change_is_not_said_is_read(answer: str) -> None:
    site = FakeWordPress(p1="before after")
    site.faults.append(lambda asked: response(200, answer) if asked.query.get("_fields") == "id,modified_gmt" else None)
    assert check(site).lost
    assert check(site, publication(modified="")).lost


@pytest.mark.parametrize(("count", "requests"), [(1, 2), (100, 2), (101, 4), (250, 6)])
def test_a_hundred_pages_cost_one_request(count: int, requests: int) -> None:
    site = FakeWordPress(**{f"p{number}": SHOWN for number in range(1, count + 1)})
    shown = [publication(f"pages/{number}") for number in range(1, count + 1)]
    first = check(site, *shown)
    assert len(first.details) == count
    assert len(site.seen) == requests
    site.seen.clear()
    again = [publication(f"pages/{number}", modified="2026-11-01T00:00:00") for number in range(1, count + 1)]
    assert check(site, *again) == SlotCheck(set(), {})
    assert len(site.seen) == requests // 2


def test_two_models_in_one_page_are_told_apart() -> None:
    site = FakeWordPress(p1=SHOWN)
    here = publication()
    gone = Publication(**{**vars(here), "slot": f"pages/1#{OTHER}", "model_id": OTHER})
    found = check(site, here, gone)
    assert found.lost == {gone.slot}
    assert set(found.details) == {here.slot}


def test_reusable_blocks_are_listed_by_their_type() -> None:
    site = FakeWordPress(p1="page")
    site.pages["blocks/7"] = Page("lost")
    assert check(site, publication("blocks/7")).lost
    assert {asked.path for asked in site.seen} == {"blocks"}


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (lambda site: site.pages.clear(), True),
        (lambda site: setattr(site.pages["pages/1"], "status", "trash"), True),
        (lambda site: setattr(site.pages["pages/1"], "status", "future"), False),
    ],
)
def test_a_page_that_is_not_listed_is_read_by_itself(change: Callable[[FakeWordPress], None], lost: bool) -> None:
    site = FakeWordPress(p1=SHOWN)
    change(site)
    assert bool(check(site).lost) is lost


@pytest.mark.parametrize(
    ("status", "body", "lost"),
    [
        (404, '{"code": "rest_post_invalid_id"}', True),
        (410, '{"code": "rest_post_trashed"}', True),
        (404, "<html>Not found</html>", None),
        (410, "", None),
        (403, '{"code": "rest_forbidden_context"}', None),
        (405, '{"code": "rest_any"}', None),
        (409, '{"code": "rest_any"}', None),
        (411, '{"code": "rest_any"}', None),
    ],
)
def test_only_wordpress_itself_says_that_a_page_is_gone(status: int, body: str, lost: bool | None) -> None:
    site = FakeWordPress()
    site.faults.append(lambda asked: response(status, body) if asked.path == "pages/1" else None)
    if lost:
        assert check(site).lost == {f"pages/1#{MODEL}"}
    else:
        with pytest.raises(SlotError):
            check(site)


def test_few_pages_that_are_not_listed_are_read_by_themselves() -> None:
    site = FakeWordPress()
    found = check(site, *(publication(f"pages/{number}") for number in range(1, 61)))
    assert len(found.lost) == 20
    assert len(site.seen) == 21


def test_a_site_that_refuses_is_no_loss() -> None:
    site = FakeWordPress(p1="lost")
    site.faults.append(lambda asked: response(403, "") if asked.path == "pages/1" or asked.path == "pages" else None)
    with pytest.raises(SlotError, match="in front of WordPress"):
        check(site)


def test_a_publication_of_before_is_shown_while_the_page_holds_any_link_of_the_model() -> None:
    old = publication()
    del old.details["fingerprint"]
    assert not check(FakeWordPress(p1=SHOWN), old).lost
    assert check(FakeWordPress(p1="before"), old).lost


@pytest.mark.parametrize("path", ["", "42", "pages/x", "pages/"])
def test_a_publication_whose_page_is_not_known_is_left_out(path: str) -> None:
    site = FakeWordPress(p1="lost")
    assert check(site, publication(path)) == SlotCheck(set(), {})
    assert site.seen == []


# ---------------------------------------------------------------------- at the keeper's next run

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def clock(world: World) -> FakeClock:
    made = FakeClock()
    world.freeze_clock(made.now())
    return made


@pytest.fixture
def services(make_services: MakeServices, clock: FakeClock) -> Services:
    return make_services(clock)


def test_a_link_that_an_editor_deleted_is_back_at_the_next_run(services: Services, clock: FakeClock) -> None:
    site = FakeWordPress(p1="one", p2="two")
    target = site.target({ONE: 1, TWO: 2})
    items = mint(services, "night", [ONE, TWO]).items
    publish(services, "night", target, items)
    shown = site.content(1)
    site.pages["pages/1"].edit("one, edited")
    outcome = publish(services, "keeper", target, items)
    assert [about["model_id"] for about in outcome.published] == [ONE]
    assert [about["model_id"] for about in outcome.unchanged] == [TWO]
    assert site.content(1) == shown.replace("one", "one, edited", 1)
    site.seen.clear()
    clock.advance(900)
    assert publish(services, "later", target, items).unchanged.total == 2
    assert [asked.path for asked in site.seen] == ["pages", "pages"]  # the page that was put was not seen yet
    site.seen.clear()
    clock.advance(900)
    assert publish(services, "latest", target, items).unchanged.total == 2
    assert [asked.path for asked in site.seen] == ["pages"]


def test_a_restored_revision_that_shows_an_old_link_is_replaced(services: Services) -> None:
    site = FakeWordPress(p1="one")
    target = site.target({ONE: 1})
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    old = site.content(1)
    items = mint(services, "tuesday", [ONE]).items
    publish(services, "tuesday", target, items)
    shown = site.content(1)
    site.pages["pages/1"].edit(old)
    assert publish(services, "keeper", target, items).published.total == 1
    assert site.content(1) == shown


def test_a_site_that_is_away_changes_nothing(services: Services) -> None:
    site = FakeWordPress(p1="one")
    target = site.target({ONE: 1})
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", target, items)
    site.faults.append(lambda asked: response(403, ""))
    assert publish(services, "keeper", target, items).unchanged.total == 1
