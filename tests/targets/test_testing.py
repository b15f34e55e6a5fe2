"""The kit for authors of targets passes a good target, and says what a bad one does wrong."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pme_airflow.targets import CheckResult, ShownLink, SlotError, Target
from pme_airflow.targets.testing import BehindProxy, Place, check_target, serving_proxy
from tests.support.cms import Cms, serving_cms
from tests.support.headless import Headless
from tests.support.home import ROOT


class Files(Target):
    """A file a model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"files:{folder}"

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        (self.folder / slot).write_text(link.url.reveal())
        return {"puts": previous.get("puts", 0) + 1}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if (self.folder / slot).read_text() != link.url.reveal():
            raise SlotError("the file does not show the link", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        (self.folder / slot).unlink(missing_ok=True)

    def check(self, items: Any = ()) -> list[CheckResult]:
        return [CheckResult.good("read", "It is a folder.")]


class FilesAtOnce(Files):
    at_once = 3


class ShowsBeforeItIsStored(Files):
    """Confirms from its memory what it stores when all slots are done."""

    waiting: ClassVar[dict[str, str]] = {}

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        self.waiting[slot] = link.url.reveal()
        return {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self.waiting[slot] != link.url.reveal():
            raise SlotError("not shown")

    def finish(self, shown: Any) -> None:
        for slot, url in self.waiting.items():
            (self.folder / slot).write_text(url)


class SwallowsErrors(Files):
    """Takes every failure for a success."""

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        with suppress(OSError):
            (self.folder / "missing" / slot).write_text(link.url.reveal())
        return {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        return


class ReadsNothingBack(Files):
    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        return


class ShowsTheOldLink(Files):
    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        with (self.folder / slot).open("a") as file:
            file.write(f"{link.url.reveal()}\n")
        return {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if not (self.folder / slot).read_text().endswith(f"{link.url.reveal()}\n"):
            raise SlotError("not shown")


class KeepsTheFirstLink(Files):
    """Writes a slot once: a cache that nobody empties."""

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        return {} if (self.folder / slot).exists() else super().put(slot, link, previous)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if not (self.folder / slot).exists():
            raise SlotError("not shown")


class StoresTheLink(Files):
    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().put(slot, link, previous), "url": link.url.reveal()}


class LogsTheLink(Files):
    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        logging.getLogger("bad").info("writing %s", link.url.reveal())
        return super().put(slot, link, previous)


class TellsTheLink(Files):
    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if (self.folder / slot).read_text() != link.url.reveal():
            raise SlotError(f"{link.url.reveal()} is not shown")


class ClearsEverything(Files):
    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        for path in self.folder.iterdir():
            path.unlink()


class ClearsNothing(Files):
    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        return


class HasOneSlot(Files):
    def slots(self, item: Mapping[str, Any]) -> list[str]:
        return ["front"]


class ChangesWhenChecked(Files):
    def check(self, items: Any = ()) -> list[CheckResult]:
        for path in self.folder.iterdir():
            path.write_text(f"{path.read_text()} checked")
        return []


class HasANewName(Files):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.name = f"files:{id(self)}:{threading.get_ident()}"


class GivesUpAtOnce(Files):
    """Calls what may pass permanent, but only in its second night and later."""

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        if link.link_id.startswith("lnk_kit"):
            return super().put(slot, link, previous)
        raise SlotError("the place is busy")


class Darkens(Files):
    """Deletes what is shown before it writes, so that a reader sees nothing between."""

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        if link.link_id.startswith("lnk_kit") or not previous:
            return super().put(slot, link, previous)
        (self.folder / slot).unlink(missing_ok=True)
        raise SlotError("try again", passing=True)


class FolderPlace(Place):
    def __init__(self, make: type[Files], folder: Path) -> None:
        self.make, self.folder = make, folder

    def target(self) -> Target:
        return self.make(self.folder)

    def shown(self, model_id: str) -> str:
        return "".join(path.read_text() for path in self.folder.iterdir() if path.name in (model_id, "front"))


@pytest.mark.parametrize("make", [Files, FilesAtOnce])
def test_a_good_target_passes(make: type[Files], tmp_path: Path) -> None:
    check_target(FolderPlace(make, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (ShowsBeforeItIsStored, "but readers do not see it"),
        (SwallowsErrors, "but readers do not see it"),
        (ReadsNothingBack, "read_back() accepts a link that was never put"),
        (ShowsTheOldLink, "still see the link it replaced"),
        (KeepsTheFirstLink, "read_back() accepts a link that was never put"),
        (StoresTheLink, "the details that put() returns have a link"),
        (LogsTheLink, "logs or prints a link"),
        (TellsTheLink, "the error of read_back() have a link"),
        (ClearsEverything, "clears the slots of other models"),
        (ClearsNothing, "take_away() leaves a link"),
        (HasOneSlot, "two models have the same slot"),
        (ChangesWhenChecked, "check() changes what the place holds"),
        (HasANewName, "different names"),
        (GivesUpAtOnce, "reported as permanent"),
        (Darkens, "shows 0 links between two tries"),
    ],
)
def test_a_bad_target_is_caught_and_its_fault_is_named(make: type[Files], reason: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        check_target(FolderPlace(make, tmp_path), nights=2)
    assert reason in str(caught.value)


class JsonTarget(Files):
    """An entry of a JSON API a model."""

    def __init__(self, cms: Headless) -> None:
        self.cms, self.name = cms, "json"

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("PUT", slot, {"url": link.url.reveal()}) and {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self._call("GET", slot) != {"url": link.url.reveal()}:
            raise SlotError("the entry does not show the link", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self._call("PUT", slot, {"url": None})

    def _call(self, method: str, slot: str, body: Any = None) -> Any:
        try:
            return self.cms.call(method, slot, body)
        except OSError as error:  # of requests, each of which is one
            raise SlotError(f"the API failed ({type(error).__name__})", passing=True) from None


class BehindANetwork(BehindProxy):
    def __init__(self, proxy: Any, cms: Cms) -> None:
        super().__init__(proxy)
        self.cms = cms

    def target(self) -> Target:
        return JsonTarget(Headless(self.proxy.address))

    def shown(self, model_id: str) -> str:
        return str(self.cms.items.get(f"/{model_id}", ""))


def test_requests_of_a_target_behind_the_proxy_are_lost_and_cut() -> None:
    with serving_cms() as cms, serving_proxy(cms.address, seed=5) as proxy:
        check_target(BehindANetwork(proxy, cms), nights=3)
        assert sum(proxy.struck.values()) > 0


def test_the_kit_needs_no_pytest() -> None:
    code = "import pme_airflow.targets.testing, sys; sys.exit(any(m.partition('.')[0] in ('pytest', 'tests') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def one_page() -> type[Target]:
    """The target of the how-to page that writes all slots into one document."""
    page = (ROOT / "docs" / "how-to" / "write-a-target.md").read_text()
    code = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class OnePage" in block)
    made: dict[str, Any] = {}
    exec(code, made)
    found: type[Target] = made["OnePage"]
    return found


class PageFolder(Place):
    """The files of a target that writes a document for each audience."""

    def __init__(self, folder: Path, kind: type[Target]) -> None:
        self.folder, self.kind = folder, kind

    def target(self) -> Target:
        return self.kind(self.folder)  # type: ignore[call-arg]

    def shown(self, model_id: str) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.txt"))

    def everything(self) -> str:
        return self.shown("")


def test_the_how_tos_target_of_documents_keeps_the_contract(tmp_path: Path) -> None:
    check_target(PageFolder(tmp_path, one_page()))


def test_a_target_that_loses_the_slots_that_stay_is_caught(tmp_path: Path) -> None:
    class Forgetful(one_page()):  # type: ignore[misc]
        def write_document(self, document: str, slots: Any) -> Any:
            return super().write_document(document, [slot for slot in slots if slot.changed])

    with pytest.raises(AssertionError, match="readers do not see it"):
        check_target(PageFolder(tmp_path, Forgetful))
