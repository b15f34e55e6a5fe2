"""A block of our own in WordPress pages, over its REST API."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Mapping
from typing import Any

import requests

from pme_airflow.api.values import AccessToken
from pme_airflow.rotation.publish import PMESlotError, ShownLink, Target

__all__ = ["WordPressTarget"]

_TOKEN = re.compile(r"auth=Bearer(?:\+|%20|\s)([A-Za-z0-9._~-]+)")
_PER_PAGE = 50
_CURE = "WordPress lets nobody delete a revision: install extras/wordpress/pme-revisions.php, or turn revisions off."

log = logging.getLogger(__name__)


class _ForbiddenError(PMESlotError):
    """The account may not do that (HTTP 401 or 403)."""


class WordPressTarget(Target):
    """Replaces only its own block of a page, and removes the revisions that still hold an old link.

    :param session: a ``requests`` session that carries the account and its application password.
    :param base_url: the site's address.
    :param pages: the page of each model.
    :param kind: ``pages``, ``posts`` or a custom type's REST base.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        pages: Mapping[str, int],
        *,
        kind: str = "pages",
        timeout: float = 30.0,
    ) -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._pages = {str(model): int(page) for model, page in pages.items()}
        self._kind = kind
        self._timeout = timeout
        self.name = f"wordpress:{self._base}"

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        model_id = str(item["model_id"])
        if model_id not in self._pages:
            raise PMESlotError(f"no page is named for model {model_id}: add it to pages")
        return [f"{self._kind}/{self._pages[model_id]}#{model_id}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        path = slot.partition("#")[0]
        page = self._get(path, {"context": "edit"})
        if page.get("status") == "trash":
            raise PMESlotError("the page is in the trash: restore it, or name another")
        content = _raw(page)
        changed = _placed(content, _block(link), link.model_id)
        if changed != content:
            again = self._get(path, {"context": "edit"})
            if _raw(again) != content:
                raise PMESlotError("somebody edited the page just now; trying again on what they wrote", passing=True)
            self._ask("POST", path, {}, {"content": changed})
        return {"path": path, "model_id": link.model_id, **self._drop_old_revisions(path, link.token)}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        path = slot.partition("#")[0]
        content = _raw(self._get(path, {"context": "edit"}))
        block = _find(content, link.model_id)
        shown = set(_TOKEN.findall(html.unescape(block[2]))) if block else set()
        if shown != {link.token.reveal()}:
            raise PMESlotError("the page does not show the new link alone when read back", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
        path = str(details["path"])
        model_id = str(details["model_id"])
        content = _raw(self._get(path, {"context": "edit"}))
        found = _find(content, model_id)
        if found:
            start, end, _ = found
            self._ask("POST", path, {}, {"content": content[:start] + f"[pme model={model_id}]" + content[end:]})
        return self._drop_old_revisions(path, None)

    def _drop_old_revisions(self, path: str, current: AccessToken | None) -> dict[str, Any]:
        """Every update leaves the old content, and the old link, in a revision: remove those that hold one of ours.

        WordPress itself lets nobody delete a revision; where no plugin changes that, it is said so.
        """
        kept = 0
        for kind in ("revisions", "autosaves"):
            held = self._get(f"{path}/{kind}", {"context": "edit", "per_page": _PER_PAGE}, may_fail=True)
            for revision in held if isinstance(held, list) else []:
                tokens = set(_TOKEN.findall(html.unescape(_raw(revision))))
                if tokens - ({current.reveal()} if current else set()):
                    kept += not self._deleted(f"{path}/revisions/{revision['id']}")
        if not kept:
            return {}
        log.warning(
            "%s, %s: %d revisions keep old links, which are revoked without grace. %s", self.name, path, kept, _CURE
        )
        return {"left_behind": kept}

    def _deleted(self, path: str) -> bool:
        try:
            self._ask("DELETE", path, {"force": "true"}, None)
        except _ForbiddenError:
            return False
        return True

    def _get(self, path: str, query: Mapping[str, Any], *, may_fail: bool = False) -> Any:
        try:
            return self._ask("GET", path, query, None)
        except PMESlotError:
            if may_fail:
                return None
            raise

    def _ask(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        problem: PMESlotError | None = None
        try:
            answer = self._session.request(
                method,
                f"{self._base}/",
                params={"rest_route": f"/wp/v2/{path}", **query},
                json=body,
                timeout=self._timeout,
                allow_redirects=False,
            )
            problem = _judged(answer)
            if problem is None:
                return answer.json()
        except (requests.RequestException, ValueError) as error:
            problem = PMESlotError(f"the site was not reached or gave no JSON ({type(error).__name__})", passing=True)
        raise problem


def _judged(answer: requests.Response) -> PMESlotError | None:
    status = answer.status_code
    if status == 404:
        return PMESlotError("there is no such page: check its number in pages")
    if status in (401, 403):
        return _ForbiddenError(f"HTTP {status}: the account may not edit this page. Check the application password")
    if 300 <= status < 400:
        return PMESlotError(f"HTTP {status}, a redirect: the link was not sent on. Name the site's final address")
    if status >= 400:
        return PMESlotError(f"HTTP {status}", passing=status >= 500 or status == 429)
    return None


def _raw(page: Mapping[str, Any]) -> str:
    content = page.get("content")
    raw = content.get("raw") if isinstance(content, Mapping) else None
    if not isinstance(raw, str):
        raise PMESlotError("the page's source is not shown to this account: it needs the right to edit the page")
    return raw


def _block(link: ShownLink) -> str:
    url = html.escape(link.url.reveal(), quote=True)
    return (
        f"<!-- wp:html --><!-- pme:{link.model_id} -->"
        f'<iframe src="{url}" title="Space {link.model_id}" width="100%" height="480" '
        f'referrerpolicy="no-referrer" allowfullscreen></iframe><!-- /pme:{link.model_id} --><!-- /wp:html -->'
    )


def _find(content: str, model_id: str) -> tuple[int, int, str] | None:
    """Our block of a model, or an iframe that shows it: where it starts and ends, and its text."""
    name = re.escape(model_id)
    patterns = (
        rf"(?:<!-- wp:html -->\s*)?<!-- pme:{name} -->.*?<!-- /pme:{name} -->(?:\s*<!-- /wp:html -->)?",
        rf"<iframe\b[^>]*[?&;]m={name}\b[^>]*>\s*</iframe>",
    )
    for pattern in patterns:
        found = list(re.finditer(pattern, content, re.DOTALL))
        if len(found) > 1:
            raise PMESlotError(f"the page holds {len(found)} blocks of model {model_id}: leave one")
        if found:
            return found[0].start(), found[0].end(), found[0][0]
    return None


def _placed(content: str, block: str, model_id: str) -> str:
    """The content with the block in place; every other byte as it was."""
    found = _find(content, model_id)
    if found:
        start, end, _ = found
        return content[:start] + block + content[end:]
    marks = list(re.finditer(rf"\[pme model={re.escape(model_id)}\]", content))
    if len(marks) > 1:
        raise PMESlotError(f"the page holds {len(marks)} marks [pme model={model_id}]: leave one")
    if marks:
        return content[: marks[0].start()] + block + content[marks[0].end() :]
    return f"{content}\n\n{block}" if content else block
