"""The plugin pme-embed in memory, for the site in memory: what it stores, and what it answers."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import requests

from tests.support.fake_wordpress import FakeWordPress, Request, response

SOURCE = "/wp-json/pme/v1/links/{model}?post=1&key=ckey"


class FakePlugin:
    """The plugin of a site. It is active as soon as it is made.

    :ivar links: the bodies that were stored, by model.
    :ivar blocked: methods that a firewall refuses; ``*`` for all of the plugin's routes.
    :ivar refuses_with: the code of the error that answers every write; empty for none.
    :ivar writes: the methods of the requests that changed something.
    """

    def __init__(self, site: FakeWordPress) -> None:
        self.links: dict[str, dict[str, Any]] = {}
        self.status: dict[str, Any] = {"version": "0.1.0", "api": 1, "rule": "everybody", "sealed": True}
        self.blocked: set[str] = set()
        self.index_blocked = False
        self.may_manage = True
        self.deaf = False
        self.refuses_with = ""
        self.visitors_see: str | None = None
        self.writes: list[str] = []
        site.faults.append(self._answer)
        site.render = _rendered

    def _answer(self, asked: Request) -> requests.Response | None:
        route = f"/{asked.path.removeprefix('wp-json').strip('/')}"
        if route == "/" and asked.form != "":
            if self.index_blocked:
                return response(403, "<html>Forbidden</html>", "text/html")
            return _json(200, {"namespaces": ["wp/v2", "pme/v1"]})
        if not route.startswith("/pme/v1"):
            return None
        if {asked.method, "*"} & self.blocked:
            return response(403, "<html>Forbidden</html>", "text/html")
        return self._served(asked, route.removeprefix("/pme/v1/"))

    def _served(self, asked: Request, route: str) -> requests.Response:
        model = route.partition("/")[2]
        if asked.anonymous:
            token = self.visitors_see or self.links.get(model, {}).get("access_token")
            return _json(200, {"access_token": token}) if token else _error(404, "pme_no_link")
        if not self.may_manage:
            return _error(403, "pme_may_not_manage")
        if route == "status":
            return _json(200, self.status)
        if route == "links":
            return _json(
                200,
                [_record(name, self.links[name]) for name in asked.query["models"].split(",") if name in self.links],
            )
        method = asked.query.get("_method", asked.method)
        if method == "GET":
            return _json(200, _record(model, self.links[model])) if model in self.links else _error(404, "pme_no_link")
        self.writes.append(asked.method)
        if self.refuses_with:
            return _error(409, self.refuses_with)
        if method == "DELETE":
            self.links.pop(model, None)
            return _json(200, {"model_id": model, "erased": True})
        if not self.deaf:
            self.links[model] = asked.body
        return _json(200, _record(model, asked.body))


def _rendered(raw: str) -> str:
    """A page as its visitors get it: with a placeholder for each block and shortcode."""
    names = r'<!-- wp:pme/space \{"model":"(\w+)"[^>]*-->|\[pme model="?(\w+)"?[^\]]*\]'
    return re.sub(
        names, lambda match: f'<iframe data-pme-source="{SOURCE.format(model=match[1] or match[2])}"></iframe>', raw
    )


def _record(model: str, body: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(body["access_token"].encode()).hexdigest()
    return {"model_id": model, "fingerprint": f"sha256:{digest}", "slot": body["slot"], "audience": body["audience"]}


def _json(status: int, value: Any) -> requests.Response:
    return response(status, json.dumps(value))


def _error(status: int, code: str) -> requests.Response:
    return _json(status, {"code": code, "message": "an error", "data": {"status": status}})
