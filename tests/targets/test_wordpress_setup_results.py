"""What the check of a WordPress site reads, when it ends, and the words of each of its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_rest import WordPressApi
from pme_airflow.targets.wordpress_setup import check_site

GOOD, WARNING, BAD = Verdict.GOOD, Verdict.WARNING, Verdict.BAD
KEEPS = {"wp:action-publish": [], "wp:action-unfiltered-html": []}
ACCOUNT = CheckResult("account", GOOD, "https://cms.example accepts the account.")
IFRAMES = CheckResult("iframes", GOOD, "WordPress keeps iframes in what this account writes.")
REVISIONS = CheckResult("revisions", GOOD, "No revision of these pages holds an old link now.")
RUNNING = "Check that the host of the connection is right, and that it is running."


def page(status: str = "publish", raw: Any = "text", links: Any = KEEPS) -> dict[str, Any]:
    return {"status": status, "content": {"raw": raw}, "_links": links}


def refused(status: int, code: str = "rest_any", message: str = "it is refused: let it in") -> WebRefusal:
    return WebRefusal(message, status, code=code)


class Site:
    """A site with some pages; an error is raised when it is read.

    :ivar calls: what was asked for.
    """

    base_url = "https://cms.example"

    def __init__(self, pages: Mapping[str, Any], revisions: Any = (), deletable: bool = True) -> None:
        self.pages = dict(pages)
        self.calls: list[tuple[Any, ...]] = []
        self._revisions, self._deletable = revisions, deletable

    def page(self, path: str) -> Any:
        self.calls.append(("page", path))
        if isinstance(self.pages[path], Exception):
            raise self.pages[path]
        return self.pages[path]

    def revisions(self, path: str) -> Iterator[Any]:
        self.calls.append(("revisions", path))
        if isinstance(self._revisions, Exception):
            raise self._revisions
        yield from dict(self._revisions).get(path, ())

    def may_delete(self, path: str, revision: Any) -> bool:
        self.calls.append(("may_delete", path, revision))
        return self._deletable


def check(site: Site, **options: bool) -> list[CheckResult]:
    return list(check_site(cast(WordPressApi, site), list(site.pages), **options))


def editable(read: int, known: int) -> CheckResult:
    return CheckResult("pages", GOOD, f"The account may edit {read} of {known} pages that were read.")


def test_a_good_site_is_called_good_in_each_respect() -> None:
    site = Site({"pages/1": page(), "pages/2": page()})
    assert check(site) == [ACCOUNT, editable(2, 2), IFRAMES, REVISIONS]
    assert site.calls == [("page", "pages/1"), ("page", "pages/2"), ("revisions", "pages/1"), ("revisions", "pages/2")]


def test_iframes_and_revisions_do_not_matter_where_no_link_is_in_a_page() -> None:
    site = Site({"pages/1": page(links={"wp:action-publish": []})})
    assert check(site, holds_links=False) == [ACCOUNT, editable(1, 1)]


def test_twenty_pages_are_read_at_most() -> None:
    site = Site({f"pages/{number}": page() for number in range(30)})
    assert editable(20, 30) in check(site)
    assert [call[0] for call in site.calls].count("page") == 20


def test_no_pages_are_no_problem() -> None:
    assert check(Site({})) == [ACCOUNT]


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (refused(401, "incorrect_password"), "Enter the account's login and a new application password (Users > Profile) in the connection."),
        (refused(401, "rest_not_logged_in"), "Let it in."),
        (refused(403, ""), "Let it in."),
        (SlotError("the source is not shown: let it in"), "Let it in."),
        (SlotError("the connection failed: let it in", passing=True), RUNNING),
        (WebRefusal("HTTP 503", 503, passing=True), RUNNING),
    ],
)  # fmt: skip
def test_what_every_page_would_answer_ends_the_check(error: Exception, cure: str) -> None:
    site = Site({"pages/1": page(), "pages/2": error, "pages/3": page()})
    (result,) = check(site)
    assert (result.check, result.verdict, result.cure) == ("account", BAD, cure)
    assert len(site.calls) == 2


def test_a_page_whose_source_is_not_shown_ends_the_check() -> None:
    (result,) = check(Site({"pages/1": page(raw=None)}))
    assert result.finding == "the page's source is not shown to this account: it needs the right to edit the page."


def test_pages_that_cannot_be_edited_are_named_and_the_others_are_checked() -> None:
    site = Site({"pages/1": refused(403), "pages/2": page("trash"), "pages/3": refused(404), "pages/4": page()})
    assert check(site) == [
        ACCOUNT,
        CheckResult("pages", BAD, "pages/1: it is refused: let it in.", "Let it in."),
        CheckResult("pages", BAD, "pages/2 is in the trash.", "Restore the page, or name another in pages."),
        CheckResult("pages", BAD, "pages/3: it is refused: let it in.", "Let it in."),
        editable(1, 4), IFRAMES, REVISIONS,
    ]  # fmt: skip


@pytest.mark.parametrize(("broken", "named", "more"), [(5, 5, ""), (6, 5, "1"), (9, 5, "4")])
def test_five_pages_are_named_and_the_rest_is_counted(broken: int, named: int, more: str) -> None:
    results = check(Site({f"pages/{number}": refused(403) for number in range(broken)}))
    assert len([result for result in results if result.finding.startswith("pages/")]) == named
    rest = [CheckResult("pages", BAD, f"{more} more pages cannot be edited.", "Correct pages in the same way.")]
    assert results[1 + named :] == (rest if more else [])


def test_iframes_that_one_page_would_lose_are_bad_and_rights_that_none_lists_are_doubtful() -> None:
    lost, silent = page(links={"wp:action-publish": []}), page(links={"self": []})
    cure = (
        "Give it the right unfiltered_html: an editor or administrator has it; on a multisite only its network's "
        "administrator."
    )
    bad = CheckResult("iframes", BAD, "WordPress takes iframes out of what this account writes.", cure)
    assert check(Site({"pages/1": page(), "pages/2": lost}))[2] == bad
    assert check(Site({"pages/1": page(), "pages/2": silent}))[2] == IFRAMES
    assert check(Site({"pages/1": silent}))[2] == CheckResult(
        "iframes", WARNING, "WordPress does not list what the account may do, so whether it keeps iframes is not known.",
        "Save a page that has an iframe with this account, and look whether it is still there.",
    )  # fmt: skip


@pytest.mark.parametrize("deletable", [True, False])
def test_the_first_revision_shows_whether_revisions_can_be_deleted(deletable: bool) -> None:
    site = Site({"pages/1": page(), "pages/2": page()}, {"pages/2": ["first", "second"], "pages/3": ["x"]}, deletable)
    finding = (
        "The account may not delete revisions: each keeps an old link, which is therefore revoked without a grace "
        "period."
    )
    cure = "Install the plugin pme-embed, which also lets them be deleted, or turn revisions off."
    good = CheckResult("revisions", GOOD, "The account may delete revisions, which hold old links.")
    assert check(site)[3:] == [good if deletable else CheckResult("revisions", WARNING, finding, cure)]
    assert site.calls[-1] == ("may_delete", "pages/2", "first")


def test_revisions_that_cannot_be_read_are_bad() -> None:
    site = Site({"pages/1": page(), "pages/2": page()}, refused(403))
    assert check(site)[3:] == [CheckResult("revisions", BAD, "it is refused: let it in.", "Let it in.")]
