"""WordPress' REST API in memory, as a transport of ``requests``: what a target meets, without a server to start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.bounded_http import ResponseTooLongError
from pme_airflow.targets.wordpress import WordPressTarget

SITE = "https://cms.example"
MODEL = "SxQL3iGyoDo"
OTHER = "yyHDFKzPzvN"


def link(token: str = "a" * 25, model_id: str = MODEL, name: str = "Mill Street 4") -> ShownLink:
    """A link as the base hands it to a target."""
    url = f"https://my.matterport.com/show?m={model_id}&auth=Bearer+{token}"
    until = datetime(2026, 12, 1, tzinfo=timezone.utc)
    return ShownLink("link-1", model_id, "intranet", SecretStr(url), AccessToken(token), until, name)


@dataclass(frozen=True)
class Request:
    """A request as the site gets it.

    :param form: the REST address: ``rest_route``, ``index.php`` or ``wp-json``; empty for a page of the site itself.
    """

    method: str
    form: str
    path: str
    query: dict[str, str]
    body: Any
    anonymous: bool
    accept: str


@dataclass
class Page:
    """A page of the site; ``rendered`` makes what visitors are shown of its source."""

    raw: str
    status: str = "publish"
    protected: bool = False
    modified: datetime = datetime(2026, 11, 1, tzinfo=timezone.utc)
    revisions: dict[int, str] = field(default_factory=dict)
    link: str = ""

    def edit(self, raw: str) -> None:
        """Save the page as a person would."""
        self.raw = raw
        self.modified += timedelta(seconds=1)


@dataclass(frozen=True)
class Refused(Exception):
    """An error as WordPress answers it."""

    status: int
    code: str


Fault = Callable[[Request], requests.Response | None]


class FakeWordPress(BaseAdapter):
    """A site with pages by path, such as ``pages/42``.

    :ivar faults: each may answer a request in the site's place.
    :ivar after: called with each request that the site has served.
    :ivar dress: turns an answer's JSON into the body that is sent; ``kind`` is its type.
    :ivar hosts: the hosts that were asked.
    """

    def __init__(self, **pages: str) -> None:
        super().__init__()
        self.pages = {
            f"pages/{name.lstrip('p')}": Page(raw, link=f"{SITE}/page-{name[1:]}/") for name, raw in pages.items()
        }
        self.render: Callable[[str], str] = lambda raw: raw
        self.faults: list[Fault] = []
        self.after: Callable[[Request], None] = lambda request: None
        self.dress: Callable[[str], bytes] = lambda text: text.encode()
        self.revisions_deletable = True
        self.links: dict[str, Any] = {"self": [], "wp:action-unfiltered-html": []}
        self.store: Callable[[str], str] = lambda raw: raw
        self.kind = "application/json; charset=UTF-8"
        self.max_body = 8 * 1024 * 1024
        self.seen: list[Request] = []
        self.hosts: set[str] = set()

    def target(self, pages: dict[str, Any] | None = None, **options: Any) -> WordPressTarget:
        """A target for the site, as one task makes it."""
        session = requests.Session()
        session.auth = ("admin", "application password")
        session.mount("https://", self)
        return WordPressTarget(session, SITE, {MODEL: 1} if pages is None else pages, **options)

    def content(self, number: int = 1) -> str:
        """A page's source."""
        return self.pages[f"pages/{number}"].raw

    def count(self, method: str, path: str = "") -> int:
        """How many requests of a method named a path."""
        return sum(1 for request in self.seen if request.method == method and path in request.path)

    # ------------------------------------------------------------------ transport

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        asked = _parsed(request)
        self.hosts.add(str(urlsplit(str(request.url)).hostname))
        self.seen.append(asked)
        for fault in self.faults:
            answer = fault(asked)
            if answer is not None:
                return answer
        try:
            status, value = 200, self._served(asked)
        except Refused as refused:
            status, value = refused.status, {"code": refused.code, "message": "an error of WordPress", "data": {}}
        self.after(asked)
        if isinstance(value, str):
            return response(status, value, "text/html; charset=UTF-8")
        body = self.dress(json.dumps(value))
        if len(body) > self.max_body:
            raise ResponseTooLongError("the response is too long")
        return response(status, body, self.kind)

    def close(self) -> None:
        return

    def _served(self, asked: Request) -> Any:
        if not asked.form:
            return self._front(asked)
        parts = asked.path.split("/")
        if len(parts) == 1:
            return self._listed(asked)
        name = "/".join(parts[:2])
        if name not in self.pages:
            raise Refused(404, "rest_post_invalid_id")
        page = self.pages[name]
        if len(parts) == 2:
            return self._page(asked, name, page)
        if parts[2] == "autosaves":
            return []
        if len(parts) == 4:
            return self._delete_revision(page, int(parts[3]), force="force" in asked.query)
        found = [{"id": number, "content": {"raw": raw}} for number, raw in page.revisions.items()]
        if "content" not in asked.query.get("_fields", "content").split(","):  # WordPress knows no parts of it here
            found = [{"id": entry["id"]} for entry in found]
        first = int(asked.query.get("offset", 0))
        return found[first : first + int(asked.query.get("per_page", 10))]

    def _page(self, asked: Request, name: str, page: Page) -> Any:
        if asked.anonymous and (page.status != "publish" or asked.query.get("context") == "edit"):
            raise Refused(401, "rest_forbidden_context")
        if asked.method == "POST":
            page.revisions[1000 + len(page.revisions)] = page.raw
            page.edit(self.store(asked.body["content"]))
        document = self._document(name, page, edit=not asked.anonymous)
        return _only(document, asked.query["_fields"].split(",")) if "_fields" in asked.query else document

    def _document(self, name: str, page: Page, *, edit: bool) -> dict[str, Any]:
        number = int(name.rpartition("/")[2])
        content: dict[str, Any] = {"rendered": self.render(page.raw), "protected": page.protected}
        if page.protected and not edit:
            content["rendered"] = ""
        if edit:
            content["raw"] = page.raw
        return {
            "id": number, "status": page.status, "content": content, "link": page.link,
            "modified_gmt": page.modified.strftime("%Y-%m-%dT%H:%M:%S"), "_links": self.links if edit else {},
        }  # fmt: skip

    def _listed(self, asked: Request) -> list[Any]:
        wanted = asked.query.get("include", "").split(",")
        shown = {"publish"} if asked.query.get("status") != "any" else {"publish", "draft", "private"}
        found = []
        for name, page in self.pages.items():
            kind, _, number = name.partition("/")
            if kind == asked.path and number in wanted and page.status in shown:
                found.append(self._document(name, page, edit=True))
        fields = asked.query.get("_fields")
        return [_only(entry, fields.split(",")) if fields else entry for entry in found]

    def _delete_revision(self, page: Page, number: int, *, force: bool) -> Any:
        if not self.revisions_deletable:
            raise Refused(403, "rest_cannot_delete")
        if number not in page.revisions:
            raise Refused(404, "rest_post_invalid_id")
        if not force:
            raise Refused(501, "rest_trash_not_supported")
        del page.revisions[number]
        return {"deleted": True}

    def _front(self, asked: Request) -> str:
        number = re.search(r"page-(\d+)", asked.path)
        page = self.pages[f"pages/{number[1]}"] if number else None
        if page is None or page.status != "publish":
            raise Refused(404, "")
        return f"<!DOCTYPE html><html><body>{self.render(page.raw)}</body></html>"


def _only(entry: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    """The fields of an entry that ``_fields`` names, ``content.raw`` among them."""
    kept = {name: value for name, value in entry.items() if name in fields}
    inner = [name.partition(".")[2] for name in fields if name.startswith("content.")]
    return {**kept, "content": {name: entry["content"][name] for name in inner}} if inner else kept


def _parsed(request: requests.PreparedRequest) -> Request:
    parts = urlsplit(str(request.url))
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    form, path = "", unquote(parts.path).lstrip("/")
    if "rest_route" in query:
        form = "index.php" if path == "index.php" else "rest_route"
        path = query.pop("rest_route").removeprefix("/wp/v2/")
    elif path.startswith("wp-json/"):
        form, path = "wp-json", path.removeprefix("wp-json/wp/v2/")
    body = json.loads(request.body) if request.body else None
    anonymous = "Authorization" not in request.headers
    return Request(str(request.method), form, path, query, body, anonymous, request.headers.get("Accept", ""))


def response(status: int, body: str | bytes, kind: str = "application/json; charset=UTF-8") -> requests.Response:
    """An answer with a body."""
    made = requests.Response()
    made.status_code = status
    made._content = body.encode() if isinstance(body, str) else body
    made.headers["Content-Type"] = kind
    made.encoding = "utf-8"
    return made
