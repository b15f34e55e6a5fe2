"""A real Ghost on this machine, where ``make ghost`` has installed it: over SQLite, with a custom integration."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pme_airflow.dev.playground.home import ROOT, stop
from pme_airflow.dev.playground.live import free_port
from pme_airflow.dev.target_kit import BehindProxy
from pme_airflow.dev.target_kit.proxy import Proxy
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.base import Target
from pme_airflow.targets.http_signers import GhostSigner
from tests.support.headless import until_ready
from tests.support.recipes import target_of

_HOME = Path(os.environ.get("PME_GHOST", ROOT / ".venv" / "ghost" / "package"))
_OWNER = {"name": "Owner", "email": "owner@example.com", "password": "Tr0mbone-Harbour-41x", "blogTitle": "Spaces"}
_CARD = "<!--space--><!--/space-->"


def missing() -> str | None:
    """Why Ghost cannot run here; ``None`` where it can."""
    built = list((_HOME / "node_modules" / "sqlite3" / "build").glob("*/node_sqlite3.node"))
    return None if built else "needs Ghost, which make ghost installs"


@dataclass
class Blog:
    """A running Ghost, and the Admin API key of an integration."""

    address: str
    key: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the Admin API as another integration would."""
        answer = requests.request(
            method,
            f"{self.address}/ghost/api/admin/{path}",
            json=body,
            auth=GhostSigner(SecretStr(self.key)),
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    def page(self, slug: str) -> dict[str, Any]:
        """A page as editors have it."""
        return dict(self.call("GET", f"pages/slug/{slug}/?formats=lexical")["pages"][0])

    def seen(self, slug: str) -> str:
        """A page as visitors see it."""
        return requests.get(f"{self.address}/{slug}/", timeout=60).text


@contextmanager
def serving_ghost() -> Iterator[Blog]:
    """Serve a Ghost over a fresh database, with an owner and an integration."""
    with tempfile.TemporaryDirectory(prefix="pme-ghost-") as name:
        folder, port = Path(name), free_port()
        address = f"http://127.0.0.1:{port}"
        for needed in ("data", "logs", "images", "settings", "themes", "adapters", "public"):
            (folder / needed).mkdir()
        for theme in (_HOME / "content" / "themes").iterdir():
            (folder / "themes" / theme.name).symlink_to(theme)
        env = {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": name, "NODE_ENV": "production", "url": address,
            "server__host": "127.0.0.1", "server__port": str(port), "paths__contentPath": name,
            "database__client": "sqlite3", "database__useNullAsDefault": "true",
            "database__connection__filename": f"{name}/data/ghost.db", "mail__transport": "Direct",
            "logging__level": "error", "security__staffDeviceVerification": "false", "privacy__useUpdateCheck": "false",
        }  # fmt: skip
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(["node", "index.js"], cwd=_HOME, env=env, stdout=log, stderr=log)
            try:
                yield Blog(address, until_ready(lambda: _integration(address)))
            finally:
                stop(server)


def _integration(address: str) -> str:
    """Set the blog up, and make an integration; return its Admin API key."""
    session = requests.Session()
    session.headers["Origin"] = address
    at = f"{address}/ghost/api/admin"
    if not session.get(f"{at}/authentication/setup/", timeout=60).json()["setup"][0]["status"]:
        session.post(f"{at}/authentication/setup/", json={"setup": [_OWNER]}, timeout=60).raise_for_status()
    who = {"username": _OWNER["email"], "password": _OWNER["password"]}
    session.post(f"{at}/session/", json=who, timeout=60).raise_for_status()
    made = session.post(f"{at}/integrations/?include=api_keys", json={"integrations": [{"name": "links"}]}, timeout=60)
    made.raise_for_status()
    (key,) = [k for k in made.json()["integrations"][0]["api_keys"] if k["type"] == "admin"]
    return str(key["secret"]) if ":" in key["secret"] else f"{key['id']}:{key['secret']}"


class GhostPlace(BehindProxy):
    """Pages with a card for a link each, which somebody edits between a read and a write.

    :ivar edits: how often that has happened.
    """

    #: Every which read of a page is followed by an edit at once.
    every = 4

    def __init__(self, proxy: Proxy, blog: Blog, models: Sequence[str]) -> None:
        super().__init__(proxy)
        self.blog, self.reads, self.edits = blog, 0, 0
        self.titles = {model_id: f"Title 0 of {model_id}" for model_id in models}
        for model_id, title in self.titles.items():
            card = {"type": "html", "version": 1, "html": _CARD}
            root = {"children": [card], "direction": None, "format": "", "indent": 0, "type": "root", "version": 1}
            page = {
                "title": title,
                "slug": self._slug(model_id),
                "status": "published",
                "lexical": json.dumps({"root": root}),
            }
            blog.call("POST", "pages/", {"pages": [page]})
        proxy.after = self._edit_now_and_then

    def target(self) -> Target:
        return target_of("ghost", self.proxy.address, password=self.blog.key)

    def shown(self, model_id: str) -> str:
        return self.blog.seen(self._slug(model_id))

    def everything(self) -> str:
        return "".join(
            json.dumps(self.blog.page(self._slug(model_id))) + self.shown(model_id) for model_id in self.titles
        )

    def check_untouched(self) -> None:
        for model_id, title in self.titles.items():
            assert self.blog.page(self._slug(model_id))["title"] == title

    def _slug(self, model_id: str) -> str:
        return f"space-{model_id.lower()}"

    def _edit_now_and_then(self, method: str, path: str) -> None:
        found = re.search(r"/pages/slug/space-(\w+)/", path)
        if found is None or method != "GET":
            return
        self.reads += 1
        if self.reads % self.every == 0:
            self.edits += 1
            model_id = next(model for model in self.titles if model.lower() == found[1])
            self.titles[model_id] = f"Title {self.edits} of {model_id}"
            page = self.blog.page(self._slug(model_id))
            changed = {"title": self.titles[model_id], "updated_at": page["updated_at"]}
            self.blog.call("PUT", f"pages/{page['id']}/", {"pages": [changed]})
