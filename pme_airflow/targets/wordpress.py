"""The target for WordPress: one place for each model in a page, written with the site's REST API."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.wordpress_check import check_pages
from pme_airflow.targets.wordpress_content import cleared, holds_place, link_embed, placed, shown_text
from pme_airflow.targets.wordpress_output import Output, output_of
from pme_airflow.targets.wordpress_pages import UNFILTERED, Pages
from pme_airflow.targets.wordpress_plugin import PluginApi
from pme_airflow.targets.wordpress_plugin_slots import PLUGIN_DETAILS, SITE_WIDE, PluginSlots
from pme_airflow.targets.wordpress_rest import WordPressApi, source_of
from pme_airflow.targets.wordpress_setup import check_site
from pme_airflow.targets.wordpress_spaces import as_placeholder

__all__ = ["WordPressTarget"]

_MODES = ("auto", "plugin", "content")
_KIND = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_MODEL_ID = re.compile(r"[A-Za-z0-9]{1,64}")

log = logging.getLogger(__name__)


class WordPressTarget(Target):
    """Show links by the site's plugin pme-embed, or replace only the link in its place in a page.

    With the plugin no link is in a page. Without it the revisions that still hold an old link are deleted.

    :param session: a ``requests`` session that carries the account and its application password.
    :param base_url: the site's address; on a multisite in folders, with the site's folder.
    :param pages: the number of each model's page. The plugin also shows models that have none, wherever they are
        embedded.
    :param kind: ``pages``, ``posts``, ``blocks`` for reusable blocks, or a custom type's REST base.
    :param mode: ``plugin``, ``content``, or ``auto`` to use the plugin if it is active.
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
    ) -> None:
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise PMEInputError("type: is not a REST base. Give pages, posts, or that of a custom type, such as tours.")
        if mode not in _MODES:
            raise PMEInputError(f"mode: is not one of {', '.join(_MODES)}.")
        self._api = WordPressApi(session, base_url, timeout)
        self._pages = {_checked_model(model): _page_number(str(model), page) for model, page in (pages or {}).items()}
        self._kind = kind
        self._mode = mode
        self.name = f"wordpress:{self._api.base_url}"
        self._documents = Pages(self._api, self.name)
        self._plugin = PluginApi(self._api)
        self._plugin_slots = PluginSlots(self._api, self._documents, self._plugin)

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        model_id = str(item["model_id"])
        if model_id in self._pages:
            return [f"{self._kind}/{self._pages[model_id]}#{model_id}"]
        if self._mode != "plugin":
            raise SlotError(f"pages has no entry for model {model_id}: add one")
        return [f"{SITE_WIDE}/{model_id}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        if self._is_shown_by_plugin(previous):
            return self._plugin_slots.put(slot, link, previous)
        path, page = self._documents.document(
            slot.partition("#")[0], lambda text: holds_place(as_placeholder(text, link.model_id), link.model_id)
        )
        former = str(previous.get("params") or "")
        content = self._documents.change(path, page, lambda text: _with_link(text, link, former))
        if _by_plugin(previous):
            self._plugin.erase(link.model_id, "")
        details = {"path": path, "model_id": link.model_id, "fingerprint": fingerprint(link.token)}
        details |= {"params": link.params} if link.params else {}
        return SlotResult(details, old_link_remains=self._documents.delete_old_revisions(path, content) > 0)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if _by_plugin(details):
            return self._plugin_slots.read_back(slot, link, details)
        page_path = slot.partition("#")[0]
        path = str(details.get("path", page_path))
        page = self._api.page(path)
        content = source_of(page)
        if link.token.reveal() not in shown_text(content, link.model_id):
            if f"<!-- pme:{link.model_id} -->" in content and "<iframe" not in content:
                raise SlotError(f"WordPress took the iframe out of what this account wrote: {UNFILTERED}")
            raise SlotError("the page does not hold the new link when read back", passing=True)
        page = page if path == page_path else self._api.page(page_path)
        self._check_output(output_of(self._documents.rendered(page_path, page), link), page_path, link)
        return None

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        if _by_plugin(details):
            return self._plugin_slots.take_away(slot, details)
        path, model_id = str(details.get("path", slot.partition("#")[0])), slot.partition("#")[2]
        page = self._documents.read_if_there(path)
        if page is None:
            return SlotResult()
        content = self._documents.change(path, page, lambda text: cleared(text, model_id))
        return SlotResult(old_link_remains=self._documents.delete_old_revisions(path, content) > 0)

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

    def _check_output(self, output: Output, path: str, link: ShownLink) -> None:
        """Raise unless visitors are shown this link and no other link of the model."""
        if output is Output.OTHER_TOO:
            raise SlotError(
                f"the page shows another link of model {link.model_id} outside of its place: take it out by hand"
            )
        if output is Output.REWRITTEN:
            log.warning(
                "%s, %s: the page holds the new link, but a plugin rewrites the iframe before visitors get it (lazy "
                "loading or consent): look at the page in a browser.", self.name, path,
            )  # fmt: skip
        elif output is Output.STALE:
            raise SlotError(
                "the page holds the new link, but visitors are still shown another one: empty the page cache, or "
                "take that one out by hand",
                passing=True,
            )
        elif output is Output.HIDDEN:
            raise SlotError(
                "the page holds the new link, but does not show it to readers: does a page builder or its template "
                "show something else?",
                passing=True,
            )


def _by_plugin(details: Mapping[str, Any]) -> bool:
    return details.get("mode") == PLUGIN_DETAILS["mode"]


def _with_link(content: str, link: ShownLink, former: str) -> str:
    """Return a source with a link in its place, also where the plugin's block or shortcode stands."""
    plain = as_placeholder(content, link.model_id)
    return placed(plain, lambda old: link_embed(link, old, former), link.model_id)


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
