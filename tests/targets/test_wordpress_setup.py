"""A WordPress site is checked without a write: account, pages, iframes and revisions, each fault with its cure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pme_airflow.checks import Verdict
from pme_airflow.doctor.placements import check_target
from tests.support.fake_wordpress import MODEL, FakeWordPress, Request, response

BAD, WARNING = Verdict.BAD, Verdict.WARNING


def wordpress(**arrange: Any) -> FakeWordPress:
    site = FakeWordPress(p1="before")
    site.pages["pages/1"].revisions[7] = "earlier"
    for name, value in arrange.items():
        setattr(site, name, value)
    return site


def refusing(status: int, code: str) -> Callable[[Request], Any]:
    return lambda asked: response(status, json.dumps({"code": code, "message": "", "data": {}}))


@pytest.mark.parametrize(
    ("arrange", "check", "finding", "cure"),
    [
        ({"faults": [refusing(401, "incorrect_password")]}, "account", "password is refused", "new application password"),
        ({"faults": [refusing(401, "rest_not_logged_in")]}, "account", "visitor's", "Authorization header"),
        ({"faults": [refusing(403, "rest_forbidden_context")]}, "pages", "may not edit this page", "Give it the right"),
        ({"faults": [lambda asked: response(403, "<html>", "text/html")]}, "account", "firewall", "worker's address"),
        ({"pages": {}}, "pages", "no such page", "number in pages"),
        ({"links": {"self": [], "wp:action-publish": []}}, "iframes", "takes iframes out", "unfiltered_html"),
    ],
    ids=["wrong password", "header dropped", "may not edit", "firewall", "no such page", "iframes stripped"],
)  # fmt: skip
def test_fault_of_a_wordpress_site_is_found(arrange: dict[str, Any], check: str, finding: str, cure: str) -> None:
    site = wordpress(**arrange)
    (bad,) = (r for r in check_target(site.target, [{"model_id": MODEL, "audience": "a"}]) if r.verdict is BAD)
    assert bad.check == check
    assert finding in bad.finding
    assert cure in bad.cure
    assert bad.cure
    assert site.count("POST") == 0


def test_wordpress_pages_in_the_trash_and_without_a_page_are_named() -> None:
    site = wordpress()
    site.pages["pages/1"].status = "trash"
    trash, missing = check_target(site.target, [{"model_id": "Unplaced001", "audience": "a"}])[1:]  # type: ignore[index]
    assert "in the trash" in trash.finding
    assert "Unplaced001" in missing.finding


def test_revisions_that_cannot_be_deleted_are_doubtful_and_none_is_deleted() -> None:
    site = wordpress(revisions_deletable=False)
    (doubtful,) = (r for r in check_target(site.target, []) if r.verdict is WARNING)
    assert "plugin pme-embed" in doubtful.cure
    good = wordpress()
    assert {r.verdict for r in check_target(good.target, [])} == {Verdict.GOOD}
    assert list(good.pages["pages/1"].revisions) == list(site.pages["pages/1"].revisions) == [7]
