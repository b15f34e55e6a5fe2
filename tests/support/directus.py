"""A real Directus on this machine, where ``make node`` has installed it: over SQLite-free PostgreSQL, a fresh one each."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from sqlalchemy.engine import make_url

from pme_airflow.playground.live import free_port
from tests.support.databases import fresh, serving_database
from tests.support.home import ROOT

_HOME = Path(os.environ.get("PME_DIRECTUS", ROOT / ".venv" / "node"))
_CLI = _HOME / "node_modules" / "directus" / "cli.js"
_START_SECONDS = 120


def missing() -> str | None:
    """Why Directus cannot run here; ``None`` where it can."""
    built = _HOME / "node_modules" / "isolated-vm" / "out" / "isolated_vm.node"
    return None if _CLI.exists() and built.exists() else "needs Directus, which make node installs"


@dataclass
class Directus:
    """A running Directus: its address and its administrator's token."""

    address: str
    token: str = ""

    def call(self, method: str, path: str, body: Any = None, *, anonymous: bool = False) -> Any:
        """Call the REST API."""
        headers = {} if anonymous or not self.token else {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, f"{self.address}/{path}", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@contextmanager
def serving_directus() -> Iterator[Directus]:
    """Install a Directus with a collection of spaces, and serve it."""
    with tempfile.TemporaryDirectory(prefix="pme-cms-") as folder, serving_database("postgresql") as database:
        url = make_url(fresh(database))
        port = free_port()
        host = str(url.query.get("host") or url.host)
        env = {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "HOST": "127.0.0.1", "PORT": str(port),
            "SECRET": "a-test's-secret-that-guards-nothing-at-all", "ADMIN_EMAIL": "a@example.com",
            "ADMIN_PASSWORD": "a-test's-password", "DB_CLIENT": "pg", "DB_HOST": host,
            "DB_PORT": str(url.port or 5432), "DB_DATABASE": str(url.database), "DB_USER": str(url.username),
            "DB_PASSWORD": str(url.password or ""), "TELEMETRY": "false", "LOG_LEVEL": "error", "CACHE_ENABLED": "false",
            "EXTENSIONS_PATH": f"{folder}/extensions", "STORAGE_LOCAL_ROOT": f"{folder}/uploads",
        }  # fmt: skip
        log = (Path(folder) / "log").open("wb")
        subprocess.run(["node", _CLI, "bootstrap"], cwd=folder, env=env, check=True, stdout=log, stderr=log)
        server = subprocess.Popen(["node", _CLI, "start"], cwd=folder, env=env, stdout=log, stderr=log)
        try:
            yield _ready(Directus(f"http://127.0.0.1:{port}"))
        finally:
            server.terminate()
            server.wait(20)
            log.close()


def _ready(cms: Directus) -> Directus:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            credentials = {"email": "a@example.com", "password": "a-test's-password"}
            cms.token = cms.call("POST", "auth/login", credentials)["data"]["access_token"]
            break
        except requests.RequestException:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
    static = "a-static-token-of-the-tests"
    me = cms.call("GET", "users/me")["data"]["id"]
    cms.call("PATCH", f"users/{me}", {"token": static})
    cms.token = static
    text = {"type": "string", "schema": {"is_nullable": True}, "meta": {}}
    key = {"field": "id", "type": "string", "schema": {"is_primary_key": True}, "meta": {}}
    fields = [key, {"field": "tour_url", **text}, {"field": "note", **text}]
    cms.call(
        "POST",
        "collections",
        {"collection": "spaces", "schema": {}, "meta": {"accountability": None}, "fields": fields},
    )
    permission = {"role": None, "collection": "spaces", "action": "read", "permissions": {}, "fields": ["*"]}
    cms.call("POST", "permissions", permission)
    return cms
