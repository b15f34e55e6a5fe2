"""A block of our own in WordPress pages, over its REST API."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.leaks.encodings import tokens_in
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["WordPressTarget"]

_PER_PAGE = 100
_CURE = "WordPress lets nobody delete a revision: install extras/wordpress/pme-revisions.php, or turn revisions off."
_ANY_BLOCK = re.compile(r"<!-- pme:([A-Za-z0-9]+) -->.*?<!-- /pme:\1 -->", re.DOTALL)
_ACTIONS = ("https://api.w.org/action-", "wp:action-")

log = logging.getLogger(__name__)


class WordPressTarget(Target):
    """Replaces only its own block of a page, and removes the revisions that still hold an old link.

    :param session: a ``requests`` session that carries the account and its application password.
    :param base_url: the site's address; on a multisite in folders, with the site's folder.
    :param pages: the page of each model.
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
        self._web = WebApi(session, base_url, timeout)
        self._pretty = False
        self._pages = {str(model): int(page) for model, page in pages.items()}
        self._kind = kind
        self.name = f"wordpress:{self._web.base_url}"

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        model_id = str(item["model_id"])
        if model_id not in self._pages:
            raise SlotError(f"no page is named for model {model_id}: add it to pages")
        return [f"{self._kind}/{self._pages[model_id]}#{model_id}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        path = slot.partition("#")[0]
        page = self._get(path, {"context": "edit"})
        if page.get("status") == "trash":
            raise SlotError("the page is in the trash: restore it, or name another")
        content = self._rewritten(path, page, lambda text: _placed(text, _block(link), link.model_id))
        return {"path": path, "model_id": link.model_id, **self._drop_old_revisions(path, content)}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        path = slot.partition("#")[0]
        page = self._get(path, {"context": "edit"})
        if _block(link) not in _raw(page):
            raise SlotError("the page does not hold the new link when read back", passing=True)
        shown = html.unescape(self._as_a_reader(path, page))
        tokens = tokens_of(shown, link.model_id)
        if link.token.reveal() not in shown:
            raise SlotError("the page holds the new link, but does not show it to readers", passing=True)
        if tokens - {link.token.reveal()}:
            raise SlotError(
                f"the page shows another link of model {link.model_id} outside of our block: take it out by hand"
            )

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
        path, model_id = str(details["path"]), str(details["model_id"])
        try:
            page = self._get(path, {"context": "edit"})
        except WebRefusal as error:
            if error.status not in (404, 410):
                raise
            return {}
        content = self._rewritten(path, page, lambda text: _cleared(text, model_id))
        return self._drop_old_revisions(path, content)

    # ------------------------------------------------------------------ pages

    def _rewritten(self, path: str, page: Mapping[str, Any], change: Callable[[str], str]) -> str:
        """A page's source after a change; written only if it is one, and nobody edited the page meanwhile."""
        content = _raw(page)
        changed = change(content)
        if changed == content:
            return content
        if _is_filtered(page):
            raise SlotError(
                "WordPress takes iframes out of what this account writes: give it the right unfiltered_html (an "
                "editor or administrator has it; on a multisite only its network's administrator)"
            )
        if _raw(self._get(path, {"context": "edit"})) != content:
            raise SlotError("somebody edited the page just now; trying again on what they wrote", passing=True)
        self._ask("POST", path, {}, {"content": changed})
        return changed

    def _as_a_reader(self, path: str, page: Mapping[str, Any]) -> str:
        """What anybody is shown of a public page; of another one, what the account is."""
        if page.get("status") == "publish":
            try:
                public = self._ask("GET", path, {}, None, anonymous=True)
                if not public.get("content", {}).get("protected"):
                    return str(public["content"]["rendered"])
            except WebRefusal as error:
                if error.permanent and error.status not in (401, 403, 404):
                    raise
            except (KeyError, AttributeError):
                pass
        return str(page["content"].get("rendered") or page["content"]["raw"])

    def _drop_old_revisions(self, path: str, content: str) -> dict[str, Any]:
        """Every update leaves the old content, and the old link, in a revision: remove those that hold one of ours.

        WordPress itself lets nobody delete a revision; where no plugin changes that, it is said so.
        """
        kept = 0
        for kind in ("revisions", "autosaves"):
            for revision in self._held(path, kind):
                if _is_stale(_raw(revision), content):
                    kept += not self._deleted(f"{path}/revisions/{revision['id']}")
        if not kept:
            return {}
        log.warning(
            "%s, %s: %d revisions keep old links, which are revoked without grace. %s", self.name, path, kept, _CURE
        )
        return {"left_behind": kept}

    def _held(self, path: str, kind: str) -> list[Mapping[str, Any]]:
        """All revisions or autosaves of a page; none where its type keeps none."""
        held: list[Mapping[str, Any]] = []
        while True:
            query = {"context": "edit", "per_page": _PER_PAGE, "offset": len(held)}
            try:
                found = self._ask("GET", f"{path}/{kind}", query, None)
            except WebRefusal as error:
                if error.status == 404 or error.code == "rest_revision_invalid_offset_number":
                    return held
                raise
            if not isinstance(found, list):
                raise SlotError(f"the page's {kind} were answered as {type(found).__name__}, not as a list")
            known = {revision["id"] for revision in held}
            new = [revision for revision in found if revision["id"] not in known]
            held += new
            if len(found) < _PER_PAGE or not new:
                return held

    def _deleted(self, path: str) -> bool:
        try:
            self._ask("DELETE", path, {"force": "true"}, None)
        except WebRefusal as error:
            if error.status in (404, 410):
                return True
            if error.status in (401, 403, 405, 501):
                return False
            raise
        return True

    # ------------------------------------------------------------------- REST

    def _get(self, path: str, query: Mapping[str, Any]) -> Mapping[str, Any]:
        found = self._ask("GET", path, query, None)
        if not isinstance(found, Mapping):
            raise SlotError("the site did not answer with a page: is the address a WordPress site's?")
        return found

    def _ask(self, method: str, path: str, query: Mapping[str, Any], body: Any, *, anonymous: bool = False) -> Any:
        """Ask the REST API by the address that works with and without pretty permalinks, or else by the pretty one."""
        try:
            return self._ask_by(self._pretty, method, path, query, body, anonymous)
        except WebRefusal as error:
            if self._pretty or method != "GET" or error.code or not (error.permanent and error.status in (200, 404)):
                raise
        found = self._ask_by(True, method, path, query, body, anonymous)
        self._pretty = True
        return found

    def _ask_by(
        self, pretty: bool, method: str, path: str, query: Mapping[str, Any], body: Any, anonymous: bool
    ) -> Any:
        where = f"wp-json/wp/v2/{path}" if pretty else ""
        params = dict(query) if pretty else {"rest_route": f"/wp/v2/{path}", **query}
        answer = self._web.request(method, where, _judged, params=params, body=body, anonymous=anonymous)
        try:
            return answer.json()
        except ValueError:
            pass
        raise WebRefusal("the site gave no JSON: is the address a WordPress site's?", answer.status_code)


def _judged(answer: requests.Response) -> SlotError | None:
    status = answer.status_code
    if status < 300:
        return None
    code = _code(answer)
    if code == "rest_no_route":
        return WebRefusal("there is no such type in the site's REST API: check type", status, code=code)
    if status in (404, 410):
        return WebRefusal("there is no such page: check its number in pages", status, code=code)
    if status == 401:
        return WebRefusal("HTTP 401: the account or its application password is refused", status, code=code)
    if status == 403:
        said = "HTTP 403: the account may not edit this page. Give it the right to, or check its application password"
        return WebRefusal(said, status, code=code)
    return WebRefusal(f"HTTP {status} ({code or 'no code'})", status, code=code)


def _code(answer: requests.Response) -> str:
    try:
        code = answer.json()["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[a-z0-9_]{1,60}", code) else ""


def _raw(page: Mapping[str, Any]) -> str:
    content = page.get("content")
    raw = content.get("raw") if isinstance(content, Mapping) else None
    if not isinstance(raw, str):
        raise SlotError("the page's source is not shown to this account: it needs the right to edit the page")
    return raw


def _is_filtered(page: Mapping[str, Any]) -> bool:
    """Whether WordPress says what this account may do, and keeping iframes is not part of it."""
    offered = [str(name) for name in page.get("_links") or {}]
    says = any(name.startswith(_ACTIONS) for name in offered)
    return says and not any(name.endswith("action-unfiltered-html") for name in offered)


def _is_stale(kept: str, content: str) -> bool:
    """Whether a revision holds a link or block of ours that the page no longer does."""
    if set(tokens_in(kept)) - set(tokens_in(content)):
        return True
    return any(found[0] not in content for found in _ANY_BLOCK.finditer(kept))


def _block(link: ShownLink) -> str:
    url = html.escape(link.url.reveal(), quote=True)
    title = html.escape(link.name, quote=True).replace("[", "&#91;").replace("]", "&#93;")  # no shortcode of WordPress'
    return (
        f"<!-- wp:html --><!-- pme:{link.model_id} -->"
        f'<iframe src="{url}" title="{title}" width="100%" height="480" '
        f'referrerpolicy="no-referrer" allowfullscreen></iframe><!-- /pme:{link.model_id} --><!-- /wp:html -->'
    )


def _find(content: str, model_id: str) -> tuple[int, int] | None:
    """Where our block of a model, or an iframe that shows it, starts and ends."""
    name = re.escape(model_id)
    patterns = (
        rf"(?:<!-- wp:html -->\s*)?<!-- pme:{name} -->.*?<!-- /pme:{name} -->(?:\s*<!-- /wp:html -->)?",
        rf"<iframe\b[^>]*[?&;]m={name}\b[^>]*>\s*</iframe>",
    )
    for pattern in patterns:
        found = list(re.finditer(pattern, content, re.DOTALL))
        if len(found) > 1:
            raise SlotError(f"the page holds {len(found)} blocks of model {model_id}: leave one")
        if found:
            return found[0].span()
    return None


def _placed(content: str, block: str, model_id: str) -> str:
    """The content with the block in place; every other byte as it was."""
    found = _find(content, model_id)
    if found:
        return content[: found[0]] + block + content[found[1] :]
    marks = list(re.finditer(rf"\[pme model={re.escape(model_id)}\]", content))
    if len(marks) > 1:
        raise SlotError(f"the page holds {len(marks)} marks [pme model={model_id}]: leave one")
    if marks:
        return content[: marks[0].start()] + block + content[marks[0].end() :]
    return f"{content}\n\n{block}" if content else block


def _cleared(content: str, model_id: str) -> str:
    """The content with a mark where the block stood."""
    found = _find(content, model_id)
    return content[: found[0]] + f"[pme model={model_id}]" + content[found[1] :] if found else content
