"""Read and change the pages of a WordPress site, whatever it is that is written into them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_blocks import referenced_blocks
from pme_airflow.targets.wordpress_content import is_stale
from pme_airflow.targets.wordpress_rest import WordPressApi, filters_iframes, source_of

__all__ = ["UNFILTERED", "Pages"]

UNFILTERED = (
    "give it the right unfiltered_html (an editor or administrator has it; on a multisite only its network's "
    "administrator)"
)
_CURE = "WordPress lets nobody delete a revision: install the plugin pme-embed, or turn revisions off."
#: The REST base of reusable blocks.
_REUSABLE = "blocks"
#: How many reusable blocks of a page are searched for a model's place.
_MAX_REFERENCES = 20

log = logging.getLogger(__name__)


class Pages:
    """The pages of one site, by their REST paths, such as ``pages/42``.

    :param api: the site.
    :param name: the target's name, for the log.
    """

    def __init__(self, api: WordPressApi, name: str) -> None:
        self._api = api
        self._name = name
        self._writing = threading.Lock()

    def read_if_there(self, path: str) -> Mapping[str, Any] | None:
        """Read a page as its editor does; ``None`` if it was deleted."""
        try:
            return self._api.page(path)
        except WebRefusal as error:
            if error.status not in (404, 410) or not error.code:
                raise
            return None

    def document(
        self, path: str, holds: Callable[[str], bool], page: Mapping[str, Any] | None = None
    ) -> tuple[str, Mapping[str, Any]]:
        """Read the document with a model's place: the page, or a reusable block that it shows.

        :param holds: whether a source has the place.
        :param page: the page, if it was read already.
        :raises SlotError: if it is in the trash.
        """
        path, page = self._document(path, self._api.page(path) if page is None else page, holds)
        if page.get("status") == "trash":
            raise SlotError("the page is in the trash: restore it, or name another")
        return path, page

    def _document(
        self, path: str, page: Mapping[str, Any], holds: Callable[[str], bool]
    ) -> tuple[str, Mapping[str, Any]]:
        content = source_of(page)
        if not holds(content):
            for inner, block in self._reusable_blocks(content):
                if holds(source_of(block)):
                    return inner, block
        return path, page

    def _reusable_blocks(self, content: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Read the reusable blocks that a source shows, and those in them."""
        waiting = referenced_blocks(content)
        for place, number in enumerate(waiting):
            if place == _MAX_REFERENCES:
                return
            path = f"{_REUSABLE}/{number}"
            try:
                block = self._api.page(path)
            except WebRefusal as error:
                if not error.permanent or not error.code:
                    raise
                continue  # it was deleted, or this account may not read it
            yield path, block
            waiting += [inner for inner in referenced_blocks(source_of(block)) if inner not in waiting]

    def change(
        self,
        path: str,
        page: Mapping[str, Any],
        change: Callable[[str], str],
        is_filtered: Callable[[str], bool] = lambda _: True,
    ) -> str:
        """Change a page's source, and return it. Write only what differs, and only if nobody edited it meanwhile.

        :param is_filtered: whether a source holds what WordPress keeps only of an account with ``unfiltered_html``.
        """
        content = source_of(page)
        changed = change(content)
        if changed == content:
            return content
        if filters_iframes(page) and is_filtered(changed):
            raise SlotError(f"WordPress takes iframes out of what this account writes: {UNFILTERED}")
        with self._writing:  # pages may share a reusable block
            if source_of(self._api.page(path)) != content:
                raise SlotError(
                    "the page was edited while it was being written; its new content is read and tried again",
                    passing=True,
                )
            self._api.write(path, changed)
        return changed

    def rendered(self, path: str, page: Mapping[str, Any]) -> str:
        """Return the rendered page: for a public page as visitors get it, for any other as the account gets it."""
        public = self.public_html(path, page)
        if public is not None:
            return public
        rendered = self._api.output(path, anonymous=False).get("rendered")
        return rendered if isinstance(rendered, str) and rendered else source_of(page)

    def public_html(self, path: str, page: Mapping[str, Any]) -> str | None:
        """Return what visitors get of a public page; ``None`` for any other, and where it has a password or no address.

        Reusable blocks have no address of their own.
        """
        is_public = page.get("status") == "publish" and not path.startswith(f"{_REUSABLE}/")
        return self._read_as_visitor(path, page) if is_public else None

    def _read_as_visitor(self, path: str, page: Mapping[str, Any]) -> str | None:
        """Return what visitors read, by the REST API or, where that is closed to them, on the page itself.

        ``None`` where a page has a password, or no address.
        """
        try:
            content = self._api.output(path, anonymous=True)
            if content.get("protected"):
                return None
            if isinstance(content.get("rendered"), str):
                return str(content["rendered"])
        except WebRefusal as error:
            if not error.permanent or error.status not in (200, 401, 403, 404):
                raise
        link = page.get("link")
        return self._api.html_for_visitors(link) if isinstance(link, str) and link else None

    def delete_old_revisions(self, path: str, content: str) -> int:
        """Delete the revisions and autosaves that hold a link which the page no longer holds; return how many remain.

        Every update leaves the old content, with its link, in a revision. WordPress itself lets nobody delete one.
        """
        kept = 0
        for revision in self._api.history(path):
            if is_stale(source_of(revision), content):
                kept += not self._api.delete_revision(path, revision)
        if kept:
            log.warning(
                "%s, %s: %d revisions keep old links, which are revoked without grace. %s",
                self._name,
                path,
                kept,
                _CURE,
            )
        return kept
