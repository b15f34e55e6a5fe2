"""Links in WordPress pages: one block a model, written over the site's REST API."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Mapping
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_content import cleared, is_stale, link_block, placed
from pme_airflow.targets.wordpress_rest import WordPressApi, filters_iframes, source_of

__all__ = ["WordPressTarget"]

_CURE = "WordPress lets nobody delete a revision: install extras/wordpress/pme-revisions.php, or turn revisions off."

log = logging.getLogger(__name__)


class WordPressTarget(Target):
    """Replace only the link's block of a page, and delete the revisions that still hold an old link.

    :param session: a ``requests`` session that carries the account and its application password.
    :param base_url: the site's address; on a multisite in folders, with the site's folder.
    :param pages: the number of each model's page.
    :param kind: ``pages``, ``posts`` or a custom type's REST base.
    """

    shows_names = True

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        pages: Mapping[str, int],
        *,
        kind: str = "pages",
        timeout: float = 30.0,
    ) -> None:
        self._api = WordPressApi(session, base_url, timeout)
        self._pages = {str(model): int(page) for model, page in pages.items()}
        self._kind = kind
        self.name = f"wordpress:{self._api.base_url}"

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        model_id = str(item["model_id"])
        if model_id not in self._pages:
            raise SlotError(f"no page is named for model {model_id}: add it to pages")
        return [f"{self._kind}/{self._pages[model_id]}#{model_id}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        path = slot.partition("#")[0]
        page = self._api.page(path)
        if page.get("status") == "trash":
            raise SlotError("the page is in the trash: restore it, or name another")
        content = self._rewritten(path, page, lambda text: placed(text, link_block(link), link.model_id))
        return {"path": path, "model_id": link.model_id, **self._delete_old_revisions(path, content)}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        path = slot.partition("#")[0]
        page = self._api.page(path)
        if link_block(link) not in source_of(page):
            raise SlotError("the page does not hold the new link when read back", passing=True)
        shown = html.unescape(self._rendered(path, page))
        tokens = tokens_of(shown, link.model_id)
        if link.token.reveal() not in shown:
            raise SlotError("the page holds the new link, but does not show it to readers", passing=True)
        if tokens - {link.token.reveal()}:
            raise SlotError(
                f"the page shows another link of model {link.model_id} outside of its block: take it out by hand"
            )

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
        path, model_id = str(details["path"]), str(details["model_id"])
        try:
            page = self._api.page(path)
        except WebRefusal as error:
            if error.status not in (404, 410):
                raise
            return {}
        content = self._rewritten(path, page, lambda text: cleared(text, model_id))
        return self._delete_old_revisions(path, content)

    def _rewritten(self, path: str, page: Mapping[str, Any], change: Callable[[str], str]) -> str:
        """Change a page's source, and return it. Write only where it differs and nobody edited the page meanwhile."""
        content = source_of(page)
        changed = change(content)
        if changed == content:
            return content
        if filters_iframes(page):
            raise SlotError(
                "WordPress takes iframes out of what this account writes: give it the right unfiltered_html (an "
                "editor or administrator has it; on a multisite only its network's administrator)"
            )
        if source_of(self._api.page(path)) != content:
            raise SlotError("somebody edited the page just now; trying again on what they wrote", passing=True)
        self._api.write(path, changed)
        return changed

    def _rendered(self, path: str, page: Mapping[str, Any]) -> str:
        """Return what visitors are shown of a public page, and of any other page what the account is shown."""
        if page.get("status") == "publish":
            try:
                public = self._api.page_for_visitors(path)
                if not public.get("content", {}).get("protected"):
                    return str(public["content"]["rendered"])
            except WebRefusal as error:
                if error.permanent and error.status not in (401, 403, 404):
                    raise
            except (KeyError, AttributeError):
                pass
        return str(page["content"].get("rendered") or page["content"]["raw"])

    def _delete_old_revisions(self, path: str, content: str) -> dict[str, Any]:
        """Delete the revisions and autosaves that hold a link which the page's content no longer holds.

        Every update leaves the old content, with its link, in a revision. WordPress itself lets nobody delete a
        revision: where no plugin changes that, return ``left_behind``.
        """
        kept = 0
        for revision in self._api.history(path):
            if is_stale(source_of(revision), content):
                kept += not self._api.delete_revision(path, revision["id"])
        if not kept:
            return {}
        log.warning(
            "%s, %s: %d revisions keep old links, which are revoked without grace. %s", self.name, path, kept, _CURE
        )
        return {"left_behind": kept}
