"""A WordPress site's REST API: reading, writing and deleting pages and their revisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["WordPressApi", "filters_iframes", "source_of"]

_PER_PAGE = 100
_ACTIONS = ("https://api.w.org/action-", "wp:action-")
_CODE = re.compile(r"[a-z0-9_]{1,60}")


class WordPressApi:
    """The REST API of one site, at whichever of its two addresses answers.

    :param session: carries the account and its application password.
    :param base_url: the site's address.
    :param timeout: seconds to wait for an answer.
    """

    def __init__(self, session: requests.Session, base_url: str, timeout: float) -> None:
        self._web = WebApi(session, base_url, timeout)
        self._pretty = False

    @property
    def base_url(self) -> str:
        """The site's address, without a trailing slash."""
        return self._web.base_url

    def page(self, path: str) -> Mapping[str, Any]:
        """Read a page as its editor does, with its source."""
        found = self._ask("GET", path, {"context": "edit"})
        if not isinstance(found, Mapping):
            raise SlotError("the site did not answer with a page: is the address a WordPress site's?")
        return found

    def page_for_visitors(self, path: str) -> Any:
        """Read a page without credentials."""
        return self._ask("GET", path, {}, anonymous=True)

    def write(self, path: str, content: str) -> None:
        """Replace a page's source."""
        self._ask("POST", path, {}, body={"content": content})

    def history(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Read all revisions and autosaves of a page; none where its type keeps none."""
        for kind in ("revisions", "autosaves"):
            yield from self._entries(f"{path}/{kind}", kind)

    def delete_revision(self, path: str, number: int) -> bool:
        """Delete a revision.

        :return: whether it is gone; false where the account may not.
        """
        try:
            self._ask("DELETE", f"{path}/revisions/{number}", {"force": "true"})
        except WebRefusal as error:
            if error.status in (404, 410):
                return True
            if error.status in (401, 403, 405, 501):
                return False
            raise
        return True

    def _entries(self, path: str, kind: str) -> list[Mapping[str, Any]]:
        entries: list[Mapping[str, Any]] = []
        while True:
            query = {"context": "edit", "per_page": _PER_PAGE, "offset": len(entries)}
            try:
                found = self._ask("GET", path, query)
            except WebRefusal as error:
                if error.status == 404 or error.code == "rest_revision_invalid_offset_number":
                    return entries
                raise
            if not isinstance(found, list):
                raise SlotError(f"the page's {kind} were answered as {type(found).__name__}, not as a list")
            known = {entry["id"] for entry in entries}
            new = [entry for entry in found if entry["id"] not in known]
            entries += new
            if len(found) < _PER_PAGE or not new:
                return entries

    def _ask(
        self, method: str, path: str, query: Mapping[str, Any], *, body: Any = None, anonymous: bool = False
    ) -> Any:
        """Send a request to ``?rest_route=``, which works with and without pretty permalinks, else to ``/wp-json/``."""
        try:
            return self._ask_at(self._pretty, method, path, query, body, anonymous)
        except WebRefusal as error:
            if self._pretty or method != "GET" or error.code or not (error.permanent and error.status in (200, 404)):
                raise
        found = self._ask_at(True, method, path, query, body, anonymous)
        self._pretty = True
        return found

    def _ask_at(
        self, pretty: bool, method: str, path: str, query: Mapping[str, Any], body: Any, anonymous: bool
    ) -> Any:
        where = f"wp-json/wp/v2/{path}" if pretty else ""
        params = dict(query) if pretty else {"rest_route": f"/wp/v2/{path}", **query}
        answer = self._web.request(method, where, _problem, params=params, body=body, anonymous=anonymous)
        try:
            return answer.json()
        except ValueError:
            pass
        raise WebRefusal("the site gave no JSON: is the address a WordPress site's?", answer.status_code)


def source_of(page: Mapping[str, Any]) -> str:
    """Return the source of a page or revision.

    :raises SlotError: where the account is not shown it.
    """
    content = page.get("content")
    raw = content.get("raw") if isinstance(content, Mapping) else None
    if not isinstance(raw, str):
        raise SlotError("the page's source is not shown to this account: it needs the right to edit the page")
    return raw


def filters_iframes(page: Mapping[str, Any]) -> bool:
    """Return whether WordPress lists what the account may do, and keeping iframes is not listed."""
    links = [str(name) for name in page.get("_links") or {}]
    lists_actions = any(name.startswith(_ACTIONS) for name in links)
    return lists_actions and not any(name.endswith("action-unfiltered-html") for name in links)


def _problem(answer: requests.Response) -> SlotError | None:
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
        cure = "Give it the right to, or check its application password"
        return WebRefusal(f"HTTP 403: the account may not edit this page. {cure}", status, code=code)
    return WebRefusal(f"HTTP {status} ({code or 'no code'})", status, code=code)


def _code(answer: requests.Response) -> str:
    """Return WordPress' code of an error; empty where the answer names none."""
    try:
        code = answer.json()["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
