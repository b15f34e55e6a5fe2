"""Stand-ins of content services, written from their vendors' references: versions, conflicts, publishing in two steps.

They refuse what the references call an error: a missing or old version, another content type, an unknown field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pme_airflow.dev.target_kit import BehindProxy, serving_proxy
from pme_airflow.dev.target_kit.proxy import Proxy
from pme_airflow.targets.base import Target
from tests.support.recipes import target_of
from tests.support.web import Received, Reply, serving_web

NOTE = "Note 0"


@dataclass
class Entry:
    """An entry as editors and as readers have it."""

    number: int
    note: str = NOTE
    url: str = ""
    version: int = 1
    published: str = ""
    locked: bool = False
    body: str = ""
    draft: dict[str, str] = field(default_factory=dict)


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(body).encode())


class Vendor:
    """Entries by model. ``answer`` answers a request that carries credentials."""

    name = ""
    #: The path of the request after which somebody edits.
    read = re.compile("$^")

    def __init__(self, models: Sequence[str]) -> None:
        self.entries = {model_id: Entry(number) for number, model_id in enumerate(models, 71)}

    def receive(self, request: Received) -> Reply:
        if not request.headers.get("Authorization"):
            return _json({"message": "unauthorized"}, 401)
        address = urlsplit(request.path)
        return self.answer(request, unquote(address.path), {k: v[0] for k, v in parse_qs(address.query).items()})

    def answer(self, request: Received, path: str, query: dict[str, str]) -> Reply:
        raise NotImplementedError

    def shown(self, entry: Entry) -> str:
        """What readers of an entry get."""
        return entry.published

    def edit(self, entry: Entry) -> None:
        """What somebody else does."""
        entry.note = f"Note {int(entry.note.split()[1]) + 1}"
        entry.version += 1

    def by_number(self, number: str) -> Entry | None:
        return next((entry for entry in self.entries.values() if str(entry.number) == number), None)


class Contentful(Vendor):
    """Every change names the entry's version in a header, and makes the next one; readers get what is published."""

    name = "contentful"
    read = re.compile(r"/entries/space-(\w+)$")
    _BASE = r"/spaces/SPACE/environments/master"

    def answer(self, request: Received, path: str, query: dict[str, str]) -> Reply:
        if path == f"{self._BASE}/public/entries" and request.method == "GET":
            found = self.entries.get(query["sys.id"].removeprefix("space-"))
            return _json({"total": 1, "items": [{"fields": {"tourUrl": {"en-US": found.published}}}] if found else []})
        match = re.fullmatch(rf"{self._BASE}/entries/space-(\w+?)(/published)?", path)
        entry = self.entries.get(match[1]) if match else None
        if match is None or entry is None:
            return _json({"sys": {"type": "Error", "id": "NotFound"}}, 404)
        if request.method == "GET":
            return self._entry(entry)
        if request.headers.get("X-Contentful-Version") != str(entry.version):
            return _json({"sys": {"type": "Error", "id": "VersionMismatch"}}, 409)
        if match[2] and request.method == "PUT" and not request.body:
            entry.published = entry.url
        elif request.method == "PATCH" and request.headers["Content-Type"] == "application/json-patch+json":
            ((operation),) = json.loads(request.body)
            assert (operation["op"], operation["path"]) == ("add", "/fields/tourUrl")
            entry.url = operation["value"]["en-US"]
        else:
            return _json({"sys": {"type": "Error", "id": "UnsupportedMediaType"}}, 415)
        entry.version += 1
        return self._entry(entry)

    def _entry(self, entry: Entry) -> Reply:
        fields = {"note": {"en-US": entry.note}, "tourUrl": {"en-US": entry.url}}
        return _json({"sys": {"type": "Entry", "version": entry.version}, "fields": fields})


class Sanity(Vendor):
    """A transaction of patches, all or none, the first by the document's revision."""

    name = "sanity"
    read = re.compile(r"/data/doc/production/space-(\w+)$")

    def __init__(self, models: Sequence[str]) -> None:
        super().__init__(models)
        for entry in self.entries.values():
            entry.draft = {"tourUrl": "", "note": "half written"}

    def answer(self, request: Received, path: str, query: dict[str, str]) -> Reply:
        match = re.fullmatch(r"/v2024-01-01/data/doc/production/space-(\w+)", path)
        if match and request.method == "GET":
            entry = self.entries[match[1]]
            document = {"_id": f"space-{match[1]}", "_rev": f"rev{entry.version}", "note": entry.note}
            shown = {"tourUrl": entry.published} if entry.published else {}
            return _json({"documents": [{**document, **shown}]})
        if path != "/v2024-01-01/data/mutate/production" or request.method != "POST":
            return _json({"error": {"type": "notFound"}}, 404)
        first, second = (mutation["patch"] for mutation in json.loads(request.body)["mutations"])
        model = first["id"].removeprefix("space-")
        entry = self.entries[model]
        if first["ifRevisionID"] != f"rev{entry.version}":
            return _json({"error": {"type": "mutationError", "description": "unexpected revision ID"}}, 409)
        assert second["query"] == f"*[_id == 'drafts.space-{model}']"
        entry.published = entry.url = self._patched(first)
        entry.draft["tourUrl"] = self._patched(second)
        entry.version += 1
        return _json({"transactionId": "t", "results": [{"id": f"space-{model}", "operation": "update"}]})

    def _patched(self, patch: dict[str, Any]) -> str:
        assert patch.get("unset", ["tourUrl"]) == ["tourUrl"]
        return str(patch.get("set", {"tourUrl": ""})["tourUrl"])

    def shown(self, entry: Entry) -> str:
        return f"{entry.published} {entry.draft['tourUrl']}"


class Storyblok(Vendor):
    """A story that somebody edits is locked; it is written whole, and published by a request of its own."""

    name = "storyblok"
    read = re.compile(r"/stories/(\d+)$")

    def answer(self, request: Received, path: str, query: dict[str, str]) -> Reply:
        if path == "/v1/spaces/123456/stories" and "with_slug" in query:
            found = self.entries.get(query["with_slug"].removeprefix("spaces/"))
            return _json({"stories": [{"id": found.number}] if found else []})
        match = re.fullmatch(r"/v1/spaces/123456/stories/(\d+)(/publish)?", path)
        entry = self.by_number(match[1]) if match else None
        if match is None or entry is None:
            return _json({"error": "not found"}, 404)
        if request.method == "PUT" and not match[2]:
            return self._write(entry, json.loads(request.body))
        if match[2]:
            entry.published = entry.url
        return self._story(entry)

    def _write(self, entry: Entry, body: dict[str, Any]) -> Reply:
        if entry.locked:
            entry.locked = False  # the editor has gone on
            return _json({"base": ["This story is locked"]}, 422)
        content = body["story"]["content"]
        assert content.keys() == {"component", "note", "tour_url"}
        assert content["note"] == entry.note, "another field was overwritten"
        entry.url = content["tour_url"]
        return self._story(entry)

    def edit(self, entry: Entry) -> None:
        super().edit(entry)
        entry.locked = True

    def _story(self, entry: Entry) -> Reply:
        content = {"component": "space", "note": entry.note, "tour_url": entry.url}
        changed = entry.url != entry.published
        story = {
            "id": entry.number,
            "name": "A",
            "slug": "a",
            "content": content,
            "published": bool(entry.published) or not entry.url,
        }
        return _json({"story": {**story, "unpublished_changes": changed}})


class Confluence(Vendor):
    """An update names the version that it makes, which must be the next one, and the whole body as well-formed XHTML."""

    name = "confluence"
    read = re.compile(r"/api/v2/pages/(\d+)\?")

    def __init__(self, models: Sequence[str]) -> None:
        super().__init__(models)
        for entry in self.entries.values():
            entry.body = f"<p>{NOTE}</p><p>3D space:</p><p>End of the 3D space.</p><p>Tail &amp; more</p>"

    def answer(self, request: Received, path: str, query: dict[str, str]) -> Reply:
        if path == "/wiki/api/v2/pages":
            found = self.entries.get(query["title"].removeprefix("Space "))
            assert query["space-id"] == "65537"
            return _json({"results": [{"id": str(found.number)}] if found else []})
        match = re.fullmatch(r"/wiki/api/v2/pages/(\d+)", path)
        entry = self.by_number(match[1]) if match else None
        if match is None or entry is None:
            return _json({"errors": [{"status": 404}]}, 404)
        if request.method == "PUT":
            given = json.loads(request.body)
            if given["version"]["number"] != entry.version + 1:
                return _json({"errors": [{"status": 409, "code": "CONFLICT"}]}, 409)
            assert (given["id"], given["status"], given["title"]) == (match[1], "current", "A space")
            assert given["body"]["representation"] == "storage"
            self._check_form(given["body"]["value"])
            entry.body, entry.version = given["body"]["value"], entry.version + 1
        shown = {"storage": {"representation": "storage", "value": entry.body}} if query.get("body-format") else {}
        return _json({"id": match[1], "title": "A space", "version": {"number": entry.version}, "body": shown})

    def _check_form(self, value: str) -> None:
        from xml.etree import ElementTree

        ElementTree.fromstring(f"<body>{value}</body>")

    def edit(self, entry: Entry) -> None:
        before = entry.note
        super().edit(entry)
        entry.body = entry.body.replace(before, entry.note)

    def shown(self, entry: Entry) -> str:
        assert entry.body.startswith(f"<p>{entry.note}</p><p>3D space:</p>"), "an edit was overwritten"
        assert entry.body.endswith("<p>End of the 3D space.</p><p>Tail &amp; more</p>")
        return entry.body


class SharePoint(Vendor):
    """An item is changed by its ETag; another one is refused with 412."""

    name = "sharepoint"
    read = re.compile(r"/items\?.*ModelId%20eq%20'(\w+)'|/items\?.*ModelId%20eq%20%27(\w+)%27")

    def answer(self, request: Received, path: str, query: dict[str, str]) -> Reply:
        base = "/v1.0/sites/SITE/lists/LIST/items"
        if path == base and request.method == "GET":
            (model,) = re.findall(r"^fields/ModelId eq '(\w+)'$", query["$filter"])
            return _json({"value": [self._item(self.entries[model])] if model in self.entries else []})
        match = re.fullmatch(rf"{base}/(\d+)/fields", path)
        entry = self.by_number(match[1]) if match else None
        if match is None or entry is None or request.method != "PATCH":
            return _json({"error": {"code": "itemNotFound"}}, 404)
        if request.headers.get("If-Match") != f'"{entry.number},{entry.version}"':
            return _json({"error": {"code": "resourceModified"}}, 412)
        given = json.loads(request.body)
        assert given.keys() == {"TourUrl"}
        entry.url = entry.published = given["TourUrl"] or ""
        entry.version += 1
        return _json(self._item(entry)["fields"])

    def _item(self, entry: Entry) -> dict[str, Any]:
        etag = f'"{entry.number},{entry.version}"'
        return {
            "@odata.etag": etag,
            "id": str(entry.number),
            "fields": {"Note": entry.note, "TourUrl": entry.published or None},
        }


VENDORS: tuple[type[Vendor], ...] = (Contentful, Sanity, Storyblok, Confluence, SharePoint)


class VendorPlace(BehindProxy):
    """Entries at a vendor's stand-in, which somebody edits between a read and a write.

    :ivar edits: how often that has happened.
    """

    keeps_old = False
    every = 3

    def __init__(self, proxy: Proxy, vendor: Vendor) -> None:
        super().__init__(proxy)
        self.vendor, self.reads, self.edits = vendor, 0, 0
        self.notes = dict.fromkeys(vendor.entries, NOTE)
        proxy.after = self._edit_now_and_then

    def target(self) -> Target:
        headers = {} if self.vendor.name == "confluence" else {"Authorization": "Bearer of-the-tests"}
        login = "bot@example.test" if self.vendor.name == "confluence" else ""
        return target_of(self.vendor.name, self.proxy.address, login=login, password="a-token", headers=headers)

    def shown(self, model_id: str) -> str:
        return self.vendor.shown(self.vendor.entries[model_id])

    def everything(self) -> str:
        return "".join(f"{self.shown(model_id)} {entry.url}" for model_id, entry in self.vendor.entries.items())

    def check_untouched(self) -> None:
        assert {model_id: entry.note for model_id, entry in self.vendor.entries.items()} == self.notes

    def _edit_now_and_then(self, method: str, path: str) -> None:
        found = self.vendor.read.search(path)
        if found is None or method != "GET":
            return
        self.reads += 1
        if self.reads % self.every == 0:
            self.edits += 1
            named = next(part for part in found.groups() if part)
            model_id = next(m for m, entry in self.vendor.entries.items() if named in (m, str(entry.number)))
            self.vendor.edit(self.vendor.entries[model_id])
            self.notes[model_id] = self.vendor.entries[model_id].note


@contextmanager
def vendor_place(make: Callable[[Sequence[str]], Vendor], models: Sequence[str]) -> Iterator[VendorPlace]:
    """A vendor's stand-in with an entry for each model, behind a proxy."""
    vendor = make(models)
    with ExitStack() as stack:
        server = stack.enter_context(serving_web())
        server.reply = vendor.receive
        yield VendorPlace(stack.enter_context(serving_proxy(server.address)), vendor)
