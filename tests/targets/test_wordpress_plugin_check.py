"""Slots that the plugin shows are checked against what it stores, and against the source of their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.wordpress_plugin import StoredLink
from pme_airflow.targets.wordpress_plugin_check import check_plugin_slots

MODEL, OTHER = "yyHDFKzPzvN", "SxQL3iGyoDo"
LINK = f"https://my.matterport.com/show?m={MODEL}&amp;auth=Bearer+k3f9a1b2c3a1b2c3"


def shown(model_id: str = MODEL, page: int = 1, slot: str = "", **details: Any) -> Publication:
    slot = slot or f"pages/{page}#{model_id}"
    details = {"path": f"pages/{page}", "fingerprint": "sha256:1", **details}
    return Publication("key", "site", slot, "lnk", 1, model_id, "intranet", datetime.now(timezone.utc), "run", details)


class Site:
    """A site whose pages have these sources, and whose plugin stores these links."""

    def __init__(self, sources: Mapping[int, str], stored: Mapping[str, StoredLink]) -> None:
        self.sources, self.stored = sources, stored
        self.asked: list[list[str]] = []
        self.read: list[list[int]] = []

    def stored_links(self, model_ids: Sequence[str]) -> dict[str, StoredLink]:
        self.asked.append(list(model_ids))
        return {model_id: self.stored[model_id] for model_id in model_ids if model_id in self.stored}

    def pages(self, kind: str, numbers: Sequence[int], fields: str) -> dict[int, Mapping[str, Any]]:
        self.read.append(list(numbers))
        content = {number: {"raw": self.sources[number]} for number in numbers}
        return {number: {"id": number, "modified_gmt": "later", "content": content[number]} for number in numbers}


@pytest.mark.parametrize(
    ("stored", "is_lost"),
    [
        (StoredLink("sha256:1", f"pages/1#{MODEL}"), False),
        (StoredLink("sha256:2", f"pages/1#{MODEL}"), True),
        (StoredLink("sha256:2", "pages/9"), False),
        (StoredLink("", f"pages/1#{MODEL}"), True),
        (StoredLink("", "pages/9"), True),
        (None, True),
    ],
    ids=[
        "its own",
        "another link of its own",
        "another slot's",
        "sealed for other keys",
        "and another slot's",
        "nothing",
    ],
)
def test_a_slot_is_lost_unless_its_link_or_another_slots_is_stored(stored: StoredLink | None, is_lost: bool) -> None:
    site = Site({1: f"[pme model={MODEL}]"}, {} if stored is None else {MODEL: stored})
    found = check_plugin_slots(site, site, [shown()])  # type: ignore[arg-type]
    assert found.lost == ({f"pages/1#{MODEL}"} if is_lost else set())
    assert found.details == ({} if is_lost else {f"pages/1#{MODEL}": {**shown().details, "modified": "later"}})
    assert site.read == ([] if is_lost else [[1], [1]])  # a slot that is lost costs no request for its page


@pytest.mark.parametrize(
    ("source", "is_lost"),
    [
        (f"[pme model={MODEL}]", False),
        ("nothing", True),
        (f"[pme model={MODEL}] {LINK}", True),
        (f"[pme model={OTHER}]", True),
    ],
    ids=["shown", "removed", "with a link beside it", "another model's"],
)
def test_a_page_has_to_show_the_space_and_no_link(source: str, is_lost: bool) -> None:
    site = Site({1: source}, {MODEL: StoredLink("sha256:1", f"pages/1#{MODEL}")})
    assert check_plugin_slots(site, site, [shown()]).lost == ({f"pages/1#{MODEL}"} if is_lost else set())  # type: ignore[arg-type]


def test_each_model_is_asked_about_once() -> None:
    site = Site({1: "", 2: ""}, {})
    slots = [shown(page=2), shown(page=1), shown(OTHER)]
    assert check_plugin_slots(site, site, slots).lost == {slot.slot for slot in slots}  # type: ignore[arg-type]
    assert site.asked == [[OTHER, MODEL]]
