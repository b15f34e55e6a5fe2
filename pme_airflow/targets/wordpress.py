"""The target for WordPress: one place for each model in a page, written with the site's REST API."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests

from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_blocks import referenced_blocks
from pme_airflow.targets.wordpress_check import check_pages
from pme_airflow.targets.wordpress_content import cleared, holds_place, is_stale, link_embed, placed, shown_text
from pme_airflow.targets.wordpress_output import Output, output_of
from pme_airflow.targets.wordpress_rest import WordPressApi, filters_iframes, source_of
from pme_airflow.targets.wordpress_setup import check_site

__all__ = ["WordPressTarget"]

_CURE = "WordPress lets nobody delete a revision: install extras/wordpress/pme-revisions.php, or turn revisions off."
_UNFILTERED = (
    "give it the right unfiltered_html (an editor or administrator has it; on a multisite only its network's "
    "administrator)"
)
_KIND = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_MODEL_ID = re.compile(r"[A-Za-z0-9]{1,64}")
#: The REST base of reusable blocks.
_REUSABLE = "blocks"
#: How many reusable blocks of a page are searched for a model's place.
_MAX_REFERENCES = 20

log = logging.getLogger(__name__)


class WordPressTarget(Target):
    """Replace only the link in its place in a page, and delete the revisions that still hold an old link.

    :param session: a ``requests`` session that carries the account and its application password.
    :param base_url: the site's address; on a multisite in folders, with the site's folder.
    :param pages: the number of each model's page.
    :param kind: ``pages``, ``posts``, ``blocks`` for reusable blocks, or a custom type's REST base.
    :raises PMEInputError: for an invalid page number or REST base.
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
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise PMEInputError("type: is not a REST base. Give pages, posts, or that of a custom type, such as tours.")
        self._api = WordPressApi(session, base_url, timeout)
        self._pages = {_checked_model(model): _page_number(str(model), page) for model, page in pages.items()}
        self._kind = kind
        self.name = f"wordpress:{self._api.base_url}"

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        model_id = str(item["model_id"])
        if model_id not in self._pages:
            raise SlotError(f"pages has no entry for model {model_id}: add one")
        return [f"{self._kind}/{self._pages[model_id]}#{model_id}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        path = slot.partition("#")[0]
        path, page = self._document(path, self._api.page(path), link.model_id)
        if page.get("status") == "trash":
            raise SlotError("the page is in the trash: restore it, or name another")
        former = str(previous.get("params") or "")
        content = self._changed(
            path, page, lambda text: placed(text, lambda old: link_embed(link, old, former), link.model_id)
        )
        details = {"path": path, "model_id": link.model_id, "fingerprint": fingerprint(link.token)}
        details |= {"params": link.params} if link.params else {}
        return SlotResult(details, old_link_remains=self._delete_old_revisions(path, content) > 0)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        page_path = slot.partition("#")[0]
        path = str(details.get("path", page_path))
        page = self._api.page(path)
        content = source_of(page)
        if link.token.reveal() not in shown_text(content, link.model_id):
            if f"<!-- pme:{link.model_id} -->" in content and "<iframe" not in content:
                raise SlotError(f"WordPress took the iframe out of what this account wrote: {_UNFILTERED}")
            raise SlotError("the page does not hold the new link when read back", passing=True)
        page = page if path == page_path else self._api.page(page_path)
        self._check_output(output_of(self._rendered(page_path, page), link), page_path, link)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        path, model_id = str(details.get("path", slot.partition("#")[0])), slot.partition("#")[2]
        try:
            page = self._api.page(path)
        except WebRefusal as error:
            if error.status not in (404, 410) or not error.code:
                raise
            return SlotResult()
        content = self._changed(path, page, lambda text: cleared(text, model_id))
        return SlotResult(old_link_remains=self._delete_old_revisions(path, content) > 0)

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        return check_pages(self._api, shown)

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Check the account, the pages, whether iframes are kept, and whether revisions can be deleted."""
        results = list(check_site(self._api, [f"{self._kind}/{number}" for number in self._pages.values()]))
        unplaced = [str(item["model_id"]) for item in items if str(item["model_id"]) not in self._pages]
        if unplaced:
            named = ", ".join(unplaced[:5])
            finding = f"{len(unplaced)} models have no page ({named} first)."
            results.append(CheckResult.bad("pages", finding, "Add them to pages."))
        return results

    # -------------------------------------------------------------------------------- pages

    def _document(self, path: str, page: Mapping[str, Any], model_id: str) -> tuple[str, Mapping[str, Any]]:
        """Return the document with a model's place: the page, or a reusable block that it shows."""
        content = source_of(page)
        if not holds_place(content, model_id):
            for inner, block in self._reusable_blocks(content):
                if holds_place(source_of(block), model_id):
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

    def _changed(self, path: str, page: Mapping[str, Any], change: Callable[[str], str]) -> str:
        """Change a page's source, and return it. Write only what differs, and only if nobody edited it meanwhile."""
        content = source_of(page)
        changed = change(content)
        if changed == content:
            return content
        if filters_iframes(page):
            raise SlotError(f"WordPress takes iframes out of what this account writes: {_UNFILTERED}")
        if source_of(self._api.page(path)) != content:
            raise SlotError(
                "the page was edited while it was being written; its new content is read and tried again", passing=True
            )
        self._api.write(path, changed)
        return changed

    def _rendered(self, path: str, page: Mapping[str, Any]) -> str:
        """Return the rendered page: for a public page as visitors get it, for any other as the account gets it."""
        if page.get("status") == "publish" and not path.startswith(
            f"{_REUSABLE}/"
        ):  # reusable blocks have no address of their own
            public = self._read_as_visitor(path, page)
            if public is not None:
                return public
        rendered = self._api.output(path, anonymous=False).get("rendered")
        return rendered if isinstance(rendered, str) and rendered else source_of(page)

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

    # -------------------------------------------------------------------------------- revisions

    def _delete_old_revisions(self, path: str, content: str) -> int:
        """Delete the revisions and autosaves that hold a link which the page no longer holds; return how many remain.

        Every update leaves the old content, with its link, in a revision. WordPress itself lets nobody delete one.
        """
        kept = 0
        for revision in self._api.history(path):
            if is_stale(source_of(revision), content):
                kept += not self._api.delete_revision(path, revision)
        if kept:
            log.warning(
                "%s, %s: %d revisions keep old links, which are revoked without grace. %s", self.name, path, kept, _CURE
            )
        return kept


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
