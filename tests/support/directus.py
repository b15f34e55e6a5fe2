"""A real Directus on this machine, where ``make node`` has installed it: over PostgreSQL, with a collection of spaces."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pme_airflow.dev.playground.home import ROOT, stop
from pme_airflow.dev.playground.live import free_port
from tests.support.databases import fresh, serving_database
from tests.support.headless import Headless, database_environment, until_ready

_HOME = Path(os.environ.get("PME_DIRECTUS", ROOT / ".venv" / "node"))
_CLI = _HOME / "node_modules" / "directus" / "cli.js"
_WHO = {"email": "a@example.com", "password": "a-test's-password"}
_TOKEN = "a-static-token-of-the-tests"


def missing() -> str | None:
    """Why Directus cannot run here; ``None`` where it can."""
    built = _HOME / "node_modules" / "isolated-vm" / "out" / "isolated_vm.node"
    return None if _CLI.exists() and built.exists() else "needs Directus, which make node installs"


@contextmanager
def serving_directus() -> Iterator[Headless]:
    """Install a Directus with a collection of spaces, and serve it."""
    with tempfile.TemporaryDirectory(prefix="pme-cms-") as folder, serving_database("postgresql") as database:
        port = free_port()
        env = {
            **database_environment(fresh(database), folder), "DB_CLIENT": "pg", "HOST": "127.0.0.1", "PORT": str(port),
            "SECRET": "a-test's-secret-that-guards-nothing-at-all", "ADMIN_EMAIL": _WHO["email"],
            "ADMIN_PASSWORD": _WHO["password"], "TELEMETRY": "false", "LOG_LEVEL": "error", "CACHE_ENABLED": "false",
            "EXTENSIONS_PATH": f"{folder}/extensions", "STORAGE_LOCAL_ROOT": f"{folder}/uploads",
        }  # fmt: skip
        with (Path(folder) / "log").open("wb") as log:
            subprocess.run(["node", _CLI, "bootstrap"], cwd=folder, env=env, check=True, stdout=log, stderr=log)
            server = subprocess.Popen(["node", _CLI, "start"], cwd=folder, env=env, stdout=log, stderr=log)
            try:
                yield _with_spaces(Headless(f"http://127.0.0.1:{port}"))
            finally:
                stop(server)


def _with_spaces(cms: Headless) -> Headless:
    cms.token = until_ready(lambda: cms.call("POST", "auth/login", _WHO))["data"]["access_token"]
    me = cms.call("GET", "users/me")["data"]["id"]
    cms.call("PATCH", f"users/{me}", {"token": _TOKEN})
    cms.token = _TOKEN
    text = {"type": "string", "schema": {"is_nullable": True}, "meta": {}}
    key = {"field": "id", "type": "string", "schema": {"is_primary_key": True}, "meta": {}}
    fields = [key, {"field": "tour_url", **text}, {"field": "note", **text}]
    meta = {"accountability": None}
    cms.call("POST", "collections", {"collection": "spaces", "schema": {}, "meta": meta, "fields": fields})
    readable = {"role": None, "collection": "spaces", "action": "read", "permissions": {}, "fields": ["*"]}
    cms.call("POST", "permissions", readable)
    return cms
