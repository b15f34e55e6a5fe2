"""The target for WordPress: one place for each model in a page, written with the site's REST API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from pme_airflow.checks import CheckResult
from pme_airflow.concurrency import read_at_once
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.wordpress_check import check_pages
from pme_airflow.targets.wordpress_page_slots import PageSlots
from pme_airflow.targets.wordpress_pages import Pages
from pme_airflow.targets.wordpress_plugin import PluginApi
from pme_airflow.targets.wordpress_plugin_slots import PLUGIN_DETAILS, SITE_WIDE, PluginSlots
from pme_airflow.targets.wordpress_rest import WordPressApi
from pme_airflow.targets.wordpress_setup import check_site

__all__ = ["WordPressTarget"]

_MODES = ("auto", "plugin", "content")
_KIND = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_MODEL_ID = re.compile(r"[A-Za-z0-9]{1,64}")


class WordPressTarget(Target):
    """Show links by the site's plugin pme-embed, or replace only the link in its place in a page.

    With the plugin no link is in a page. Without it the revisions that still hold an old link are deleted.

    :param session: a ``requests`` session that carries the account and its application password.
    :param base_url: the site's address; on a multisite in folders, with the site's folder.
    :param pages: the number of each model's page. The plugin also shows models that have none, wherever they are
        embedded.
    :param kind: ``pages``, ``posts``, ``blocks`` for reusable blocks, or a custom type's REST base.
    :param mode: ``plugin``, ``content``, or ``auto`` to use the plugin if it is active.
    :param at_once: how many pages are written and cleared at the same time.
    :raises PMEInputError: for an invalid page number, REST base or mode.
    """

    shows_names = True

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        pages: Mapping[str, int] | None = None,
        *,
        kind: str = "pages",
        mode: str = "auto",
        timeout: float = 30.0,
        at_once: int = 4,
    ) -> None:
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise PMEInputError("type: is not a REST base. Give pages, posts, or that of a custom type, such as tours.")
        if mode not in _MODES:
            raise PMEInputError(f"mode: is not one of {', '.join(_MODES)}.")
        self.at_once = read_at_once(at_once)
        self._api = WordPressApi(session, base_url, timeout, self.at_once)
        self._pages = {_checked_model(model): _page_number(str(model), page) for model, page in (pages or {}).items()}
        self._kind = kind
        self._mode = mode
        self.name = f"wordpress:{self._api.base_url}"
        pages_of_site = Pages(self._api, self.name)
        self._plugin = PluginApi(self._api)
        self._page_slots = PageSlots(self._api, pages_of_site, self.name)
        self._plugin_slots = PluginSlots(self._api, pages_of_site, self._plugin)

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        model_id = str(item["model_id"])
        if model_id in self._pages:
            return [f"{self._kind}/{self._pages[model_id]}#{model_id}"]
        if self._mode != "plugin":
            raise SlotError(f"pages has no entry for model {model_id}: add one")
        return [f"{SITE_WIDE}/{model_id}"]

    def place(self, publication: Publication) -> str:
        """The link that the plugin stores for all pages of a model; without the plugin the place in one page."""
        if not _by_plugin(publication.details):
            return publication.slot
        return f"plugin/{publication.model_id}/{publication.details.get('fingerprint')}"

    # ----------------------------------------------------------------- a page with all of its slots

    def document(self, slot: str) -> str | None:
        """The slots of one page share it as a document."""
        path, separator, _ = slot.partition("#")
        return f"{path}#" if separator else None

    def write_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotResult | SlotError]:
        results: dict[str, SlotResult | SlotError] = {}
        in_page: list[DocumentSlot] = []
        for slot in slots:
            try:
                if slot.changed and self._is_written_by_plugin(slot):
                    results[slot.slot] = self._write_by_plugin(slot)
                elif slot.changed:
                    in_page.append(slot)
            except SlotError as error:
                results[slot.slot] = error
        results |= self._page_slots.write(document.rstrip("#"), in_page) if in_page else {}
        for slot in in_page:
            if slot.link is not None and _by_plugin(slot.details) and isinstance(results[slot.slot], SlotResult):
                self._plugin.erase(slot.model_id, "")
        return results

    def read_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotError]:
        failed: dict[str, SlotError] = {}
        for slot in slots:
            try:
                if slot.changed and slot.link is not None and _by_plugin(slot.details):
                    self._plugin_slots.read_back(slot.slot, slot.link, slot.details)
            except SlotError as error:
                failed[slot.slot] = error
        in_page = [slot for slot in slots if slot.changed and not _by_plugin(slot.details)]
        return failed | (self._page_slots.read(document.rstrip("#"), in_page) if in_page else {})

    def _is_written_by_plugin(self, slot: DocumentSlot) -> bool:
        return _by_plugin(slot.details) if slot.link is None else self._is_shown_by_plugin(slot.details)

    def _write_by_plugin(self, slot: DocumentSlot) -> SlotResult:
        if slot.link is None:
            return self._plugin_slots.take_away(slot.slot, slot.details)
        return self._plugin_slots.put(slot.slot, slot.link, slot.details)

    # ----------------------------------------------------------------- one slot

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        return self._written(DocumentSlot(slot, link.model_id, link, previous))

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        document = self.document(slot)
        if document is None:
            return self._plugin_slots.read_back(slot, link, details)
        for problem in self.read_document(document, [DocumentSlot(slot, link.model_id, link, details)]).values():
            raise problem
        return None

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        return self._written(DocumentSlot(slot, slot.partition("#")[2], None, details))

    def _written(self, slot: DocumentSlot) -> SlotResult:
        """Write one slot, and raise why it failed, if it did."""
        document = self.document(slot.slot)
        if document is None:
            self._is_written_by_plugin(slot)  # refuses a plugin that is not active any more
            return self._write_by_plugin(slot)
        result = self.write_document(document, [slot])[slot.slot]
        if isinstance(result, SlotError):
            raise result
        return result

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        by_plugin = [entry for entry in shown if _by_plugin(entry.details)]
        found = self._plugin_slots.check_shown(by_plugin) if by_plugin else SlotCheck()
        in_pages = check_pages(self._api, [entry for entry in shown if not _by_plugin(entry.details)])
        return SlotCheck({*found.lost, *in_pages.lost}, {**found.details, **in_pages.details})

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Check the plugin if it is used, the account, and the pages; without it also iframes and revisions."""
        with_plugin = self._mode == "plugin" or (self._mode == "auto" and self._plugin.is_active)
        results = list(self._plugin_slots.check()) if with_plugin else []
        paths = [f"{self._kind}/{number}" for number in self._pages.values()]
        results += check_site(self._api, paths, holds_links=not with_plugin)
        if self._mode == "plugin":
            return results
        unplaced = [str(item["model_id"]) for item in items if str(item["model_id"]) not in self._pages]
        if unplaced:
            named = ", ".join(unplaced[:5])
            finding = f"{len(unplaced)} models have no page ({named} first)."
            results.append(CheckResult.bad("pages", finding, "Add them to pages."))
        return results

    def _is_shown_by_plugin(self, previous: Mapping[str, Any]) -> bool:
        """Return whether the plugin is to show a slot.

        :raises SlotError: if it showed it until now and is not active any more, so that a link would get into the page.
        """
        if self._mode != "auto":
            return self._mode == "plugin"
        if not self._plugin.is_active and _by_plugin(previous):
            raise SlotError(
                "the plugin pme-embed showed this space and is not active any more: activate it, or set mode: content"
            )
        return self._plugin.is_active


def _by_plugin(details: Mapping[str, Any]) -> bool:
    return details.get("mode") == PLUGIN_DETAILS["mode"]


def _checked_model(model_id: object) -> str:
    if not isinstance(model_id, str) or not _MODEL_ID.fullmatch(model_id):
        raise PMEInputError("pages: a key is not a model id. Give 11 characters of [A-Za-z0-9], or the 25 of a View.")
    return model_id


def _page_number(model_id: str, page: object) -> int:
    """Return a page's number. Names and addresses are refused, since both change with the page's title."""
    if isinstance(page, str) and re.fullmatch(r"[0-9]{1,18}", page.strip()):
        page = int(page)
    if not isinstance(page, int) or isinstance(page, bool) or page <= 0:
        raise PMEInputError(
            f"pages: {model_id}: is not a page's number. Give the number in the editor's address (post=42), "
            "not the page's name or address."
        )
    return page
