"""A WordPress site's REST API: reading, writing and deleting pages and their revisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.bounded_http import ResponseTooLongError
from pme_airflow.targets.web import ResponseCheck, WebApi, WebRefusal
from pme_airflow.targets.wordpress_answers import code_of, json_of

__all__ = ["WordPressApi", "filters_iframes", "lists_rights", "source_of"]

_PER_PAGE = 100
#: The fields to request of a page. If the raw content is not named, WordPress renders it as well.
_PAGE_FIELDS = "id,status,link,content.raw,_links"
#: The fields to request of a revision; WordPress cannot return a part of its content.
_REVISION_FIELDS = "id,content"
_ACTIONS = ("https://api.w.org/action-", "wp:action-")
#: Keeps PHP's notices out of responses.
_HEADERS = {"Accept": "application/json"}
_NOT_FOUND = frozenset({404, 410})
#: The REST API's addresses: the first works with and without pretty permalinks; a firewall may block any of them.
_ADDRESSES = ("", "wp-json", "index.php")
_IN_FRONT = (
    "from something in front of WordPress (a firewall, a security plugin or the web server): let the REST API and the "
    "worker's address through"
)
_NOT_LOGGED_IN = (
    "WordPress takes the request for a visitor's: let the web server pass on the Authorization header, and check that "
    "application passwords are enabled"
)


class WordPressApi:
    """The REST API of one site, at whichever of its addresses answers.

    :param session: carries the account and its application password.
    :param base_url: the site's address.
    :param timeout: seconds to wait for a response.
    :param at_once: how many requests may be in flight.
    """

    def __init__(self, session: requests.Session, base_url: str, timeout: float, at_once: int = 1) -> None:
        self._web = WebApi(session, base_url, timeout, at_once)
        parts = urlsplit(self._web.base_url)
        self._front = WebApi(session, f"{parts.scheme}://{parts.netloc}", timeout, at_once)
        self._address = _ADDRESSES[0]

    @property
    def base_url(self) -> str:
        """The site's address, without a trailing slash."""
        return self._web.base_url

    def page(self, path: str) -> Mapping[str, Any]:
        """Read a page as its editor does, with its source."""
        return _checked_page(self._request("GET", path, {"context": "edit", "_fields": _PAGE_FIELDS}), path)

    def output(self, path: str, *, anonymous: bool) -> Mapping[str, Any]:
        """Read the output of a page, as a visitor or as the account: ``rendered``, and whether it is ``protected``."""
        query = {"_fields": "id,content.rendered,content.protected"} | ({} if anonymous else {"context": "edit"})
        content = _checked_page(self._request("GET", path, query, anonymous=anonymous), path).get("content")
        return content if isinstance(content, Mapping) else {}

    def html_for_visitors(self, link: str) -> str:
        """Read the HTML of a public page without credentials, at the site's own host.

        :param link: the page's address as WordPress gives it.
        """
        return self.for_visitors(link, _front_problem, "text/html").text

    def for_visitors(self, link: str, check: ResponseCheck, accept: str = "application/json") -> requests.Response:
        """Request an address of the site without credentials, at the site's own host.

        :param link: the address; its host, if it has one, does not count.
        """
        parts = urlsplit(link)
        where = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return self._front.request("GET", where, check, headers={"Accept": accept}, anonymous=True, allow_html=True)

    def pages(self, kind: str, numbers: Sequence[int], fields: str) -> dict[int, Mapping[str, Any]]:
        """Read some fields of up to 100 pages in one request; those that are gone or in the trash are left out.

        If the response is too long, each half is requested on its own.
        """
        try:
            return self._pages(kind, numbers, fields)
        except ResponseTooLongError:
            if len(numbers) == 1:
                raise
        half = len(numbers) // 2
        return self.pages(kind, numbers[:half], fields) | self.pages(kind, numbers[half:], fields)

    def _pages(self, kind: str, numbers: Sequence[int], fields: str) -> dict[int, Mapping[str, Any]]:
        query = {
            "context": "edit", "status": "any", "per_page": _PER_PAGE, "_fields": fields,
            "include": ",".join(str(number) for number in numbers),
        }  # fmt: skip
        found = self._request("GET", kind, query)
        if not isinstance(found, list):
            raise SlotError(f"the list of pages is a {type(found).__name__}, not a list")
        known = [entry for entry in found if isinstance(entry, Mapping)]
        return {number: entry for entry in known if (number := _number(entry)) in numbers}

    def write(self, path: str, content: str) -> None:
        """Replace a page's source. Whether it was replaced is known once it is read back."""
        self._request("POST", path, {}, body={"content": content})

    def history(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Read all revisions and autosaves of a page; nothing if its type has none."""
        for kind in ("revisions", "autosaves"):
            yield from self._entries(f"{path}/{kind}", kind).values()

    def delete_revision(self, path: str, revision: Mapping[str, Any]) -> bool:
        """Delete a revision.

        :return: whether it is gone; false where the account may not.
        """
        try:
            self._request("DELETE", f"{path}/revisions/{_number(revision)}", {"force": "true"})
        except WebRefusal as error:
            if error.status in _NOT_FOUND and error.code:
                return True
            if error.status in (401, 403, 404, 405, 501):
                return False
            raise
        return True

    def revisions(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Read the revisions of a page; none where its type keeps none."""
        yield from self._entries(f"{path}/revisions", "revisions").values()

    def may_delete(self, path: str, revision: Mapping[str, Any]) -> bool:
        """Return whether the account may delete a revision, without deleting it.

        WordPress checks the right first, and then refuses a deletion without ``force`` with 501: a revision has no
        trash (``WP_REST_Revisions_Controller::delete_item``).
        """
        try:
            self._request("DELETE", f"{path}/revisions/{_number(revision)}", {})
        except WebRefusal as error:
            if error.status in (401, 403, 404, 405):
                return False
            if error.status != 501:
                raise
        return True

    def _entries(self, path: str, kind: str) -> dict[int, Mapping[str, Any]]:
        entries: dict[int, Mapping[str, Any]] = {}
        per_page = _PER_PAGE
        while True:
            query = {
                "context": "edit", "_fields": _REVISION_FIELDS, "per_page": per_page, "offset": len(entries),
            }  # fmt: skip
            try:
                found = self._request("GET", path, query)
            except ResponseTooLongError:
                per_page //= 2
                if not per_page:
                    raise
                continue
            except WebRefusal as error:
                if error.status == 404 or error.code == "rest_revision_invalid_offset_number":
                    return entries
                raise
            if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
                raise SlotError(f"the page's {kind} were answered as {type(found).__name__}, not as a list")
            new = {_number(entry): entry for entry in found if _number(entry) not in entries}
            entries |= new
            if len(found) < per_page or not new:
                return entries

    # -------------------------------------------------------------------------------- requests

    def _request(
        self, method: str, path: str, query: Mapping[str, Any], *, body: Any = None, anonymous: bool = False
    ) -> Any:
        return self.call(method, "wp/v2", path, _problem, query, body, anonymous=anonymous)

    def call(
        self,
        method: str,
        namespace: str,
        path: str,
        check: ResponseCheck,
        query: Mapping[str, Any],
        body: Any = None,
        *,
        anonymous: bool = False,
    ) -> Any:
        """Send a request to the address that answered last, or else to the others, and return the answer's JSON.

        Another address is tried only where WordPress itself did not answer, so that nothing was written.
        """
        problems: list[WebRefusal] = []
        for address in sorted(_ADDRESSES, key=lambda other: other != self._address):
            try:
                found = self._request_at(address, method, f"{namespace}/{path}", check, query, body, anonymous)
            except WebRefusal as error:
                if error.code or not error.permanent:
                    raise
                problems.append(error)
                continue
            if not anonymous:
                self._address = address
            return found
        raise max(problems, key=lambda error: error.status not in (200, *_NOT_FOUND))

    def _request_at(
        self,
        address: str,
        method: str,
        route: str,
        check: ResponseCheck,
        query: Mapping[str, Any],
        body: Any,
        anonymous: bool,
    ) -> Any:
        where = f"wp-json/{route.lstrip('/')}" if address == "wp-json" else address
        params = dict(query) if address == "wp-json" else {"rest_route": f"/{route.lstrip('/')}", **query}
        answer = self._web.request(
            method, where, check, params=params, headers=_HEADERS, body=body, anonymous=anonymous, allow_html=True
        )
        found = json_of(answer)
        if found is None and method != "POST":
            raise WebRefusal(
                "the site did not answer with JSON: is the address that of a WordPress site?", answer.status_code
            )
        return found


def source_of(page: Mapping[str, Any]) -> str:
    """Return the source of a page or revision.

    :raises SlotError: where the account is not shown it.
    """
    content = page.get("content")
    raw = content.get("raw") if isinstance(content, Mapping) else None
    if not isinstance(raw, str):
        raise SlotError("the page's source is not shown to this account: it needs the right to edit the page")
    return raw


def lists_rights(page: Mapping[str, Any]) -> bool:
    """Return whether WordPress lists what the account may do with a page."""
    found = page.get("_links")
    return isinstance(found, Mapping) and any(str(name).startswith(_ACTIONS) for name in found)


def filters_iframes(page: Mapping[str, Any]) -> bool:
    """Return whether WordPress lists what the account may do, and keeping iframes is not listed."""
    found = page.get("_links")
    links = [str(name) for name in found] if isinstance(found, Mapping) else []
    return lists_rights(page) and not any(name.endswith("action-unfiltered-html") for name in links)


# -------------------------------------------------------------------------------- answers


def _checked_page(found: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise SlotError("the site did not answer with a page: is the address that of a WordPress site?")
    if str(_number(found)) != path.rpartition("/")[2]:
        raise SlotError("the site answered with another page than the one requested: check its address")
    return found


def _number(entry: Mapping[str, Any]) -> int:
    """Return the number of a page or revision. It becomes a part of addresses."""
    number = entry.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
        raise SlotError("the site answered with an entry without an id: is the address that of a WordPress site?")
    return number


def _problem(answer: requests.Response) -> SlotError | None:
    status = answer.status_code
    if status < 300:
        return None
    code = code_of(answer)
    return WebRefusal(_message(status, code), status, code=code)


def _message(status: int, code: str) -> str:
    if not code:
        if status in _NOT_FOUND:
            return f"HTTP {status}: WordPress' REST API does not answer there. Check the address, or unblock the API"
        return f"HTTP {status} {_IN_FRONT}"
    if code == "rest_no_route":
        return "the site's REST API has no such type: check type"
    if status in _NOT_FOUND:
        return "there is no such page: check its number in pages"
    if status == 401 and code.startswith("rest_"):
        return f"HTTP 401 ({code}): {_NOT_LOGGED_IN}"
    if status == 401:
        return f"HTTP 401 ({code}): the account or its application password is refused"
    if status == 403 and not code.startswith("rest_"):
        return f"HTTP 403 ({code}): a plugin of the site refuses the REST API. Let the account through"
    if status == 403:
        return (
            f"HTTP 403 ({code}): the account may not edit this page. Give it the right to, or check its application "
            "password"
        )
    return f"HTTP {status} ({code})"


def _front_problem(answer: requests.Response) -> SlotError | None:
    status = answer.status_code
    return WebRefusal(f"the page is refused to visitors (HTTP {status})", status) if status >= 400 else None
