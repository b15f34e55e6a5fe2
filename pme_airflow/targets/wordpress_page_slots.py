"""Show links in the source of WordPress pages: a page is written once for all of its models."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.sealing import fingerprint
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotResult
from pme_airflow.targets.wordpress_builders import builder_advice, not_shown, still_shown
from pme_airflow.targets.wordpress_content import cleared, holds_place, link_embed, placed, shown_text
from pme_airflow.targets.wordpress_output import Output, output_of
from pme_airflow.targets.wordpress_pages import UNFILTERED, Pages
from pme_airflow.targets.wordpress_rest import WordPressApi, source_of
from pme_airflow.targets.wordpress_spaces import as_placeholder

__all__ = ["PageSlots"]

log = logging.getLogger(__name__)
Results = dict[str, SlotResult | SlotError]


@dataclass(frozen=True)
class _Found:
    """A page or a reusable block, as it is now, and those of a page's slots that are in it."""

    page: Mapping[str, Any]
    slots: list[DocumentSlot]


class PageSlots:
    """The slots of a site whose links are in its pages.

    :param api: the site.
    :param pages: its pages.
    :param name: the target's name, for the log.
    """

    def __init__(self, api: WordPressApi, pages: Pages, name: str) -> None:
        self._api = api
        self._pages = pages
        self._name = name

    # ----------------------------------------------------------------- writing

    def write(self, page_path: str, slots: Sequence[DocumentSlot]) -> Results:
        """Put links into a page and take others out. A slot whose place cannot be found or changed fails alone."""
        results: Results = {}
        found: dict[str, _Found] = {}
        for slot in slots:
            try:
                path, page = self._find(page_path, slot, {path: entry.page for path, entry in found.items()})
            except SlotError as error:
                results[slot.slot] = error
                continue
            if page is None:
                results[slot.slot] = SlotResult()  # the page of a slot that is to be cleared was deleted
            else:
                found.setdefault(path, _Found(page, [])).slots.append(slot)
        for path, entry in found.items():
            results |= self._write(path, entry)
        cleared_slots = [slot for entry in found.values() for slot in entry.slots if slot.link is None]
        return results | self._still_shown(page_path, cleared_slots, results)

    def _still_shown(self, page_path: str, slots: Sequence[DocumentSlot], results: Results) -> Results:
        """Return the cleared slots whose page still shows a link: it is revoked at once."""
        done = {slot.slot: result for slot in slots if isinstance(result := results[slot.slot], SlotResult)}
        if not done:
            return {}
        try:
            rendered = self._pages.rendered(page_path, self._api.page(page_path))
        except SlotError:
            return {}  # the source is cleared; what visitors get cannot be read
        shown = {slot.slot: still_shown(rendered, slot.model_id) for slot in slots if slot.slot in done}
        for slot, message in shown.items():
            if message:
                log.warning("%s, %s: %s. Its link is revoked at once.", self._name, slot, message)
        return {slot: replace(done[slot], old_link_remains=True) for slot, message in shown.items() if message}

    def _find(
        self, page_path: str, slot: DocumentSlot, known: Mapping[str, Mapping[str, Any]]
    ) -> tuple[str, Mapping[str, Any] | None]:
        """Return where a slot's place is; a page or block that was read for another slot is not read again."""
        if slot.gone:
            path = str(slot.details.get("path", page_path))
            return path, known.get(path) or self._pages.read_if_there(path)
        path, page = self._pages.document(
            page_path,
            lambda text: holds_place(as_placeholder(text, slot.model_id), slot.model_id),
            known.get(page_path),
        )
        return path, known.get(path, page)

    def _write(self, path: str, entry: _Found) -> Results:
        """Write a page or block once, and delete the revisions that hold links which it no longer holds."""
        failed: dict[str, SlotError] = {}

        def change(content: str) -> str:
            for slot in entry.slots:
                try:
                    content = _changed(content, slot)
                except SlotError as error:
                    failed[slot.slot] = error
            return content

        try:
            content = self._pages.change(path, entry.page, change)
            remains = self._pages.delete_old_revisions(path, content) > 0
        except SlotError as error:
            return {slot.slot: failed.get(slot.slot, error) for slot in entry.slots}
        done = [slot for slot in entry.slots if slot.slot not in failed]
        return {**failed, **{slot.slot: SlotResult(_details(path, slot), remains) for slot in done}}

    # ----------------------------------------------------------------- reading

    def read(self, page_path: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotError]:
        """Read a page as its visitors do, and return the slots that do not show their link alone."""
        paths: dict[str, list[DocumentSlot]] = defaultdict(list)
        for slot in slots:
            paths[str(slot.details.get("path", page_path))].append(slot)
        pages = {path: self._api.page(path) for path in {*paths, page_path}}
        rendered = self._pages.rendered(page_path, pages[page_path])
        failed = {}
        for path, entries in paths.items():
            for slot in entries:
                problem = self._problem(page_path, source_of(pages[path]), rendered, slot.link)
                if problem is not None:
                    failed[slot.slot] = problem
        return failed

    def _problem(self, page_path: str, content: str, rendered: str, link: ShownLink | None) -> SlotError | None:
        if link is None:
            return None
        if link.token.reveal() in shown_text(content, link.model_id):
            output = output_of(rendered, link)
            advice = builder_advice(rendered, link.model_id) if output in (Output.STALE, Output.HIDDEN) else ""
            return SlotError(advice) if advice else self._problem_of_output(output, page_path, link)
        if f"<!-- pme:{link.model_id} -->" in content and "<iframe" not in content:
            return SlotError(f"WordPress took the iframe out of what this account wrote: {UNFILTERED}")
        return SlotError("the page does not hold the new link when read back", passing=True)

    def _problem_of_output(self, output: Output, path: str, link: ShownLink) -> SlotError | None:
        """Return why visitors are not shown this link, or another link of the model too."""
        if output is Output.OTHER_TOO:
            return SlotError(
                f"the page shows another link of model {link.model_id} outside of its place: take it out by hand"
            )
        if output is Output.REWRITTEN:
            log.warning(
                "%s, %s: the page holds the new link, but a plugin rewrites the iframe before visitors get it (lazy "
                "loading or consent): look at the page in a browser.", self._name, path,
            )  # fmt: skip
        elif output is Output.STALE:
            return SlotError(
                "the page holds the new link, but visitors are still shown another one: empty the page cache, or "
                "take that one out by hand",
                passing=True,
            )
        elif output is Output.HIDDEN:
            return not_shown("the new link")
        return None


def _changed(content: str, slot: DocumentSlot) -> str:
    """Return a source with a slot's link in its place, also where the plugin's block stands, or without a link."""
    link = slot.link
    if link is None:
        return cleared(content, slot.slot.partition("#")[2])
    former = str(slot.details.get("params") or "")
    plain = as_placeholder(content, link.model_id)
    return placed(plain, lambda old: link_embed(link, old, former), link.model_id)


def _details(path: str, slot: DocumentSlot) -> dict[str, Any]:
    if slot.link is None:
        return {}
    details = {"path": path, "model_id": slot.link.model_id, "fingerprint": fingerprint(slot.link.token)}
    return details | ({"params": slot.link.params} if slot.link.params else {})
