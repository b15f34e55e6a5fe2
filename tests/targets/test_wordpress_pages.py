"""The pages of a site are read, changed and shown with few requests, whatever is written into them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_pages import Pages
from pme_airflow.targets.wordpress_rest import WordPressApi

OLD, NEW = "o" * 25, "n" * 25


def page(raw: str = "", status: str = "publish", link: Any = "https://cms.example/a/", **more: Any) -> dict[str, Any]:
    return {"content": {"raw": raw}, "status": status, "link": link, **more}


def holding(token: str) -> dict[str, Any]:
    return page(f"https://my.matterport.com/show?m=SxQL3iGyoDo&auth=Bearer+{token}")


def refs(*numbers: int) -> str:
    return "".join(f'<!-- wp:block {{"ref":{number}}} /-->' for number in numbers)


def refused(status: int, code: str = "rest_any", *, passing: bool = False) -> WebRefusal:
    return WebRefusal(f"HTTP {status}", status, code=code, passing=passing)


class Site:
    """The REST API of a site with some documents, of which an error is raised when it is read.

    :ivar calls: what was asked for, in order.
    :ivar outputs: what a document's output is, for visitors (true) and for the account (false).
    """

    def __init__(self, documents: Mapping[str, Any], revisions: Iterable[Any] = (), deletable: bool = True) -> None:
        self.documents = dict(documents)
        self.calls: list[tuple[Any, ...]] = []
        self.outputs: dict[bool, Any] = {}
        self._revisions, self._deletable = list(revisions), deletable

    def page(self, path: str) -> Any:
        self.calls.append(("page", path))
        return _or_raise(self.documents[path])

    def write(self, path: str, content: str) -> None:
        self.calls.append(("write", path, content))
        self.documents[path] = page(content)

    def output(self, path: str, *, anonymous: bool) -> Any:
        self.calls.append(("output", path, anonymous))
        return _or_raise(self.outputs[anonymous])

    def html_for_visitors(self, link: str) -> str:
        self.calls.append(("html", link))
        return "the page itself"

    def history(self, path: str) -> list[Any]:
        self.calls.append(("history", path))
        return self._revisions

    def delete_revision(self, path: str, revision: Any) -> bool:
        self.calls.append(("delete", path, revision["id"]))
        return self._deletable

    @property
    def pages(self) -> Pages:
        return Pages(cast(WordPressApi, self), "wordpress:cms")


def _or_raise(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


# ------------------------------------------------------------------ reading


def test_a_page_that_was_deleted_is_none_and_any_other_refusal_is_raised() -> None:
    there = page("text")
    assert Site({"pages/1": there}).pages.read_if_there("pages/1") is there
    for status in (404, 410):
        assert Site({"pages/1": refused(status)}).pages.read_if_there("pages/1") is None
    for error in (refused(404, ""), refused(403), refused(410, "")):
        with pytest.raises(WebRefusal):
            Site({"pages/1": error}).pages.read_if_there("pages/1")


def test_a_page_that_has_the_place_is_read_once_and_not_at_all_if_it_is_known() -> None:
    known = page(f"place {refs(7)}")
    site = Site({"pages/1": known})
    assert site.pages.document("pages/1", lambda text: "place" in text) == ("pages/1", known)
    assert site.calls == [("page", "pages/1")]
    assert site.pages.document("pages/1", lambda text: True, known) == ("pages/1", known)
    assert len(site.calls) == 1


def test_a_reusable_block_has_the_place_where_the_page_has_none() -> None:
    blocks = {"blocks/7": page("none"), "blocks/8": page("place"), "blocks/9": page("place")}
    site = Site({"pages/1": page(refs(7, 8, 9)), **blocks})
    assert site.pages.document("pages/1", lambda text: "place" in text) == ("blocks/8", blocks["blocks/8"])
    assert [path for _, path in site.calls] == ["pages/1", "blocks/7", "blocks/8"]


def test_blocks_in_blocks_are_read_once_each_even_if_they_show_one_another() -> None:
    site = Site(
        {"pages/1": page(refs(7, 8)), "blocks/7": page(refs(9, 8, 7)), "blocks/8": page(refs(7)), "blocks/9": page()}
    )
    assert site.pages.document("pages/1", lambda text: False)[0] == "pages/1"
    assert [path for _, path in site.calls] == ["pages/1", "blocks/7", "blocks/8", "blocks/9"]


def test_no_more_than_twenty_blocks_are_read() -> None:
    blocks = {f"blocks/{number}": page() for number in range(1, 31)}
    site = Site({"pages/1": page(refs(*range(1, 31))), **blocks})
    site.pages.document("pages/1", lambda text: False)
    assert len(site.calls) == 1 + 20


def test_a_block_that_wordpress_refuses_is_passed_over_and_other_failures_are_raised() -> None:
    documents = {"pages/1": page(refs(7, 8)), "blocks/8": page("place")}
    site = Site({**documents, "blocks/7": refused(404)})
    assert site.pages.document("pages/1", lambda text: "place" in text)[0] == "blocks/8"
    for error in (refused(403, ""), refused(503, "rest_any", passing=True)):
        with pytest.raises(WebRefusal):
            Site({**documents, "blocks/7": error}).pages.document("pages/1", lambda text: "place" in text)


@pytest.mark.parametrize(("status", "refuses"), [("trash", True), ("draft", False), ("publish", False)])
def test_a_document_in_the_trash_is_refused(status: str, refuses: bool) -> None:
    pages = Site({"pages/1": page("place", status)}).pages
    if not refuses:
        assert pages.document("pages/1", bool)[0] == "pages/1"
        return
    with pytest.raises(SlotError, match="the page is in the trash: restore it, or name another") as failure:
        pages.document("pages/1", bool)
    assert failure.value.permanent


# ------------------------------------------------------------------ changing


def test_a_change_is_written_and_returned() -> None:
    site = Site({"pages/1": page("old")})
    assert site.pages.change("pages/1", page("old"), lambda text: f"{text} and new") == "old and new"
    assert site.calls == [("page", "pages/1"), ("write", "pages/1", "old and new")]


def test_a_change_that_changes_nothing_asks_for_nothing() -> None:
    site = Site({})
    assert site.pages.change("pages/1", page("old", _links={"wp:action-publish": []}), lambda text: text) == "old"
    assert site.calls == []


def test_a_page_that_was_edited_meanwhile_is_not_written() -> None:
    site = Site({"pages/1": page("edited")})
    with pytest.raises(SlotError, match="the page was edited while it was being written") as failure:
        site.pages.change("pages/1", page("old"), lambda text: "new")
    assert not failure.value.permanent
    assert [call[0] for call in site.calls] == ["page"]


@pytest.mark.parametrize(
    ("rights", "is_filtered", "refuses"),
    [
        ({"wp:action-publish": []}, None, True),
        ({"wp:action-publish": []}, lambda text: text == "new", True),
        ({"wp:action-publish": []}, lambda text: text == "old", False),
        ({"wp:action-publish": [], "wp:action-unfiltered-html": []}, None, False),
    ],
)
def test_nothing_is_written_that_wordpress_would_filter(
    rights: dict[str, Any], is_filtered: Callable[[str], bool] | None, refuses: bool
) -> None:
    site = Site({"pages/1": page("old")})
    filters = {} if is_filtered is None else {"is_filtered": is_filtered}
    if not refuses:
        assert site.pages.change("pages/1", page("old", _links=rights), lambda text: "new", **filters) == "new"
        return
    with pytest.raises(SlotError, match="takes iframes out of what this account writes: give it the right") as failure:
        site.pages.change("pages/1", page("old", _links=rights), lambda text: "new", **filters)
    assert failure.value.permanent
    assert site.calls == []


# ------------------------------------------------------------------ what visitors get


def test_a_public_page_is_read_as_visitors_get_it() -> None:
    site = Site({})
    site.outputs = {True: {"rendered": "for visitors", "protected": False}}
    assert site.pages.rendered("pages/1", page("raw")) == "for visitors"
    assert site.calls == [("output", "pages/1", True)]
    site.outputs = {True: {"rendered": ""}}
    assert site.pages.rendered("pages/1", page("raw")) == ""


@pytest.mark.parametrize(
    ("path", "status", "protected"),
    [
        ("pages/1", "draft", False),
        ("pages/1", "private", False),
        ("pages/1", "publish", True),
        ("blocks/7", "publish", False),
    ],
)
def test_any_other_page_is_read_as_the_account_gets_it(path: str, status: str, protected: bool) -> None:
    site = Site({})
    site.outputs = {True: {"rendered": "visitors", "protected": protected}, False: {"rendered": "for the account"}}
    assert site.pages.public_html(path, page("raw", status)) is None
    assert site.pages.rendered(path, page("raw", status)) == "for the account"


@pytest.mark.parametrize("output", [{}, {"rendered": ""}, {"rendered": None}, {"rendered": 3}])
def test_the_source_stands_for_an_output_that_the_account_does_not_get(output: dict[str, Any]) -> None:
    site = Site({})
    site.outputs = {False: output}
    assert site.pages.rendered("pages/1", page("raw", "draft")) == "raw"


@pytest.mark.parametrize("answer", [*(refused(status) for status in (200, 401, 403, 404)), {}, {"rendered": None}])
def test_the_page_itself_is_read_where_the_api_is_closed_to_visitors(answer: Any) -> None:
    site = Site({})
    site.outputs = {True: answer, False: {"rendered": "for the account"}}
    assert site.pages.public_html("pages/1", page("raw")) == "the page itself"
    assert site.calls[-1] == ("html", "https://cms.example/a/")
    for link in ("", None, 3):
        assert site.pages.public_html("pages/1", page("raw", link=link)) is None
    assert site.pages.rendered("pages/1", page("raw", link="")) == "for the account"


@pytest.mark.parametrize("error", [refused(400), refused(302), refused(404, passing=True), refused(503, passing=True)])
def test_another_failure_for_visitors_is_raised(error: WebRefusal) -> None:
    site = Site({})
    site.outputs = {True: error}
    with pytest.raises(WebRefusal):
        site.pages.public_html("pages/1", page("raw"))


# ------------------------------------------------------------------ revisions

REVISIONS = [{"id": 1, **holding(OLD)}, {"id": 2, **holding(NEW)}, {"id": 3, **page("text")}, {"id": 4, **holding(OLD)}]


def test_revisions_with_old_links_are_deleted_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    site = Site({}, REVISIONS)
    assert site.pages.delete_old_revisions("pages/1", str(holding(NEW)["content"]["raw"])) == 0
    assert site.calls == [("history", "pages/1"), ("delete", "pages/1", 1), ("delete", "pages/1", 4)]
    assert caplog.messages == []


def test_revisions_that_cannot_be_deleted_are_counted_and_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    site = Site({}, REVISIONS, deletable=False)
    assert site.pages.delete_old_revisions("pages/1", str(holding(NEW)["content"]["raw"])) == 2
    (message,) = caplog.messages
    assert message.startswith("wordpress:cms, pages/1: 2 revisions keep old links, which are revoked without grace. ")
