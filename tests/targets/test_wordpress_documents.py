"""Which slots of a WordPress page are written and read by the plugin, which in the page's source, and what is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.targets import wordpress
from pme_airflow.targets.base import DocumentSlot, SlotCheck, SlotResult
from pme_airflow.targets.wordpress import WordPressTarget
from tests.support.fake_wordpress import SITE, FakeWordPress, link

BY_PLUGIN = {"mode": "plugin"}
A, B, C, D = (f"Model00000{letter}" for letter in "ABCD")


class Parts:
    """What a target writes by: the plugin, its slots, and those in pages. A model in ``fails`` fails everywhere.

    :ivar calls: what was called, and the model or models that it was about.
    """

    def __init__(self, *, active: bool = True, fails: Sequence[str] = ()) -> None:
        self.is_active = active
        self.fails = fails
        self.calls: list[tuple[Any, ...]] = []

    def _done(self, name: str, slot: str, model_id: str) -> SlotResult:
        self.calls.append((name, model_id))
        if model_id in self.fails:
            raise SlotError(f"{name} failed")
        return SlotResult({"by": name})

    def put(self, slot: str, link: Any, previous: Any) -> SlotResult:
        return self._done("put", slot, link.model_id)

    def take_away(self, slot: str, details: Any) -> SlotResult:
        return self._done("take_away", slot, slot.rpartition("#")[2])

    def read_back(self, slot: str, link: Any, details: Any) -> None:
        self._done("read_back", slot, link.model_id)

    def erase(self, model_id: str, fingerprint: str) -> None:
        self.calls.append(("erase", model_id, fingerprint))

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck:
        self.calls.append(("check_shown", *(entry.model_id for entry in shown)))
        return SlotCheck(["lost by plugin"], {"kept by plugin": {"a": 1}})

    def check(self) -> list[CheckResult]:
        return [CheckResult.good("plugin", "It is active.")]

    def write(self, path: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotResult | SlotError]:
        self.calls.append(("write", path, *(slot.model_id for slot in slots)))
        failed = SlotError("write failed")
        return {s.slot: failed if s.model_id in self.fails else SlotResult({"by": "page"}) for s in slots}

    def read(self, path: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotError]:
        self.calls.append(("read", path, *(slot.model_id for slot in slots)))
        return {slot.slot: SlotError("read failed") for slot in slots if slot.model_id in self.fails}


def target(parts: Parts, mode: str = "auto", pages: Mapping[str, int] | None = None) -> WordPressTarget:
    made = FakeWordPress().target(dict.fromkeys((A, B, C, D), 7) if pages is None else dict(pages), mode=mode)
    for name in ("_plugin", "_plugin_slots", "_page_slots"):
        setattr(made, name, parts)
    return made


def slot(model_id: str, details: Mapping[str, Any] = {}, *, changed: bool = True, gone: bool = False) -> DocumentSlot:  # noqa: B006
    return DocumentSlot(f"pages/7#{model_id}", model_id, None if gone else link(model_id=model_id), details, changed)


def publication(model_id: str, details: Mapping[str, Any]) -> Publication:
    now = datetime(2026, 11, 1, tzinfo=timezone.utc)
    return Publication("key", "x", f"pages/7#{model_id}", "l", 1, model_id, "intranet", now, "run", dict(details))


# ------------------------------------------------------------------ arguments


def test_a_target_is_named_by_its_site_and_has_a_page_or_the_whole_site_for_a_model() -> None:
    made = target(Parts(), pages={A: 7})
    assert made.name == f"wordpress:{SITE}"
    assert made.shows_names
    assert made.at_once == 4
    assert made.slots({"model_id": A}) == [f"pages/7#{A}"]
    assert made.document(f"pages/7#{A}") == "pages/7#"
    assert made.document(f"links/{A}") is None
    for mode in ("auto", "content"):
        with pytest.raises(SlotError, match=f"pages has no entry for model {B}: add one"):
            target(Parts(), mode, {A: 7}).slots({"model_id": B})
    assert target(Parts(), "plugin", {A: 7}).slots({"model_id": B}) == [f"links/{B}"]


def test_a_site_is_waited_for_half_a_minute_unless_the_connection_says_otherwise() -> None:
    for options, seconds in (({}, 30), ({"timeout": 7.0}, 7)):
        assert FakeWordPress().target(**options)._api._web._timeout == seconds


@pytest.mark.parametrize("page", [True, 0, -1, "0", "x", "1" * 19, 1.0, None, ""])
def test_what_is_no_pages_number_is_refused(page: Any) -> None:
    with pytest.raises(PMEInputError, match=f"pages: {A}: is not a page's number"):
        target(Parts(), pages={A: page})


def test_a_pages_number_may_be_a_text() -> None:
    assert target(Parts(), pages={A: " 42 "}).slots({"model_id": A}) == [f"pages/42#{A}"]  # type: ignore[dict-item]
    assert target(Parts(), pages={A: "1" * 18}).slots({"model_id": A}) == [f"pages/{'1' * 18}#{A}"]  # type: ignore[dict-item]


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize(
    ("mode", "active", "by"),
    [("auto", True, "put"), ("auto", False, "page"), ("plugin", False, "put"), ("content", True, "page")],
)
def test_the_mode_and_the_plugin_decide_where_a_link_is_written(mode: str, active: bool, by: str) -> None:
    parts = Parts(active=active)
    results = target(parts, mode).write_document("pages/7#", [slot(A)])
    assert results == {f"pages/7#{A}": SlotResult({"by": by})}
    assert parts.calls == [("put", A) if by == "put" else ("write", "pages/7", A)]


def test_slots_that_stay_are_not_written_and_those_that_go_are_taken_from_where_they_were() -> None:
    parts = Parts()
    some = [
        slot(A, changed=False),
        slot(B, BY_PLUGIN, gone=True),
        slot(C, gone=True),
        slot(D, BY_PLUGIN, changed=False),
    ]
    results = target(parts).write_document("pages/7#", some)
    assert parts.calls == [("take_away", B), ("write", "pages/7", C)]
    assert set(results) == {f"pages/7#{B}", f"pages/7#{C}"}


def test_a_slot_that_fails_by_the_plugin_fails_alone() -> None:
    parts = Parts(fails=[A])
    results = target(parts).write_document("pages/7#", [slot(A), slot(B)])
    assert str(results[f"pages/7#{A}"]) == "put failed"
    assert results[f"pages/7#{B}"] == SlotResult({"by": "put"})
    assert parts.calls == [("put", A), ("put", B)]


def test_a_link_that_moves_into_the_page_is_erased_from_the_plugin_once_it_is_there() -> None:
    parts = Parts(fails=[B])
    some = [slot(A, BY_PLUGIN), slot(B, BY_PLUGIN), slot(C), slot(D, gone=True)]
    target(parts, "content").write_document("pages/7#", some)
    assert parts.calls == [("write", "pages/7", A, B, C, D), ("erase", A, "")]


def test_a_plugin_that_showed_a_space_and_is_not_active_any_more_is_named_and_no_link_gets_into_the_page() -> None:
    parts = Parts(active=False)
    results = target(parts).write_document("pages/7#", [slot(A, BY_PLUGIN), slot(B)])
    assert str(results[f"pages/7#{A}"]) == (
        "the plugin pme-embed showed this space and is not active any more: activate it, or set mode: content"
    )
    assert parts.calls == [("write", "pages/7", B)]
    for name in (f"pages/7#{A}", f"links/{A}"):
        with pytest.raises(SlotError, match="is not active any more"):
            target(parts).put(name, link(model_id=A), BY_PLUGIN)


def test_one_slot_is_written_as_a_document_of_its_own() -> None:
    parts = Parts(fails=[B])
    shown = target(parts, "content")
    assert shown.put(f"pages/7#{A}", link(model_id=A), {}) == SlotResult({"by": "page"})
    assert shown.take_away(f"pages/7#{A}", {}) == SlotResult({"by": "page"})
    with pytest.raises(SlotError, match="write failed"):
        shown.put(f"pages/7#{B}", link(model_id=B), {})
    assert parts.calls == [("write", "pages/7", A), ("write", "pages/7", A), ("write", "pages/7", B)]


def test_a_slot_of_the_whole_site_is_written_read_and_cleared_by_the_plugin() -> None:
    parts = Parts()
    shown = target(parts, "plugin")
    assert shown.put(f"links/{A}", link(model_id=A), {}) == SlotResult({"by": "put"})
    assert shown.take_away(f"links/{A}", BY_PLUGIN) == SlotResult({"by": "take_away"})
    shown.read_back(f"links/{A}", link(model_id=A), BY_PLUGIN)
    assert [name for name, _ in parts.calls] == ["put", "take_away", "read_back"]


# ------------------------------------------------------------------ reading


def test_a_page_is_read_once_for_its_own_slots_and_the_plugin_for_each_of_its() -> None:
    parts = Parts(fails=[B, D])
    some = [
        slot(A), slot(B), slot(C, BY_PLUGIN), slot(D, BY_PLUGIN), slot("E", changed=False),
        slot("F", BY_PLUGIN, changed=False), slot("G", BY_PLUGIN, gone=True),
    ]  # fmt: skip
    failed = target(parts).read_document("pages/7#", some)
    assert {name: str(error) for name, error in failed.items()} == {
        f"pages/7#{B}": "read failed", f"pages/7#{D}": "read_back failed",
    }  # fmt: skip
    assert parts.calls == [("read_back", C), ("read_back", D), ("read", "pages/7", A, B)]
    assert target(parts).read_document("pages/7#", [slot(C, BY_PLUGIN)]) == {}
    assert parts.calls[3:] == [("read_back", C)]


def test_one_slot_is_read_back_as_a_document_of_its_own() -> None:
    parts = Parts(fails=[B])
    target(parts).read_back(f"pages/7#{A}", link(model_id=A), {})
    with pytest.raises(SlotError, match="read failed"):
        target(parts).read_back(f"pages/7#{B}", link(model_id=B), {})


def test_slots_are_checked_where_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def check_pages(api: Any, shown: Sequence[Publication]) -> SlotCheck:
        asked.append([entry.model_id for entry in shown])
        return SlotCheck(["lost in page"], {"kept in page": {"b": 2}})

    monkeypatch.setattr(wordpress, "check_pages", check_pages)
    parts = Parts()
    found = target(parts).check_shown([publication(A, BY_PLUGIN), publication(B, {})])
    assert found == SlotCheck(
        {"lost by plugin", "lost in page"}, {"kept by plugin": {"a": 1}, "kept in page": {"b": 2}}
    )
    assert (parts.calls, asked) == ([("check_shown", A)], [[B]])
    assert target(parts).check_shown([publication(B, {})]) == SlotCheck({"lost in page"}, {"kept in page": {"b": 2}})
    assert len(parts.calls) == 1


# ------------------------------------------------------------------ the check


@pytest.mark.parametrize(
    ("mode", "active", "with_plugin"),
    [("auto", True, True), ("auto", False, False), ("plugin", False, True), ("content", True, False)],
)
def test_a_check_concerns_what_the_mode_uses(
    monkeypatch: pytest.MonkeyPatch, mode: str, active: bool, with_plugin: bool
) -> None:
    asked: list[tuple[list[str], bool]] = []

    def check_site(api: Any, paths: list[str], *, holds_links: bool) -> list[CheckResult]:
        asked.append((paths, holds_links))
        return [CheckResult.good("account", "It is accepted.")]

    monkeypatch.setattr(wordpress, "check_site", check_site)
    items = [{"model_id": A}, *({"model_id": f"Unplaced{number}"} for number in range(6))]
    checked = target(Parts(active=active), mode, {A: 7, B: 8}).check(items)
    assert asked == [(["pages/7", "pages/8"], not with_plugin)]
    names = ", ".join(f"Unplaced{number}" for number in range(5))
    missing = CheckResult("pages", Verdict.BAD, f"6 models have no page ({names} first).", "Add them to pages.")
    assert [result.check for result in checked] == [
        *(["plugin"] if with_plugin else []), "account", *([] if mode == "plugin" else ["pages"]),
    ]  # fmt: skip
    assert mode == "plugin" or checked[-1] == missing
    assert target(Parts(active=active), mode, {A: 7}).check(items[:1])[-1].check == "account"
