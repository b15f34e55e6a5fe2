"""A real Strapi on this machine, where ``make strapi`` has installed it: over PostgreSQL,."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pme_airflow.dev.playground.home import ROOT, stop
from pme_airflow.dev.playground.live import free_port
from tests.support.databases import fresh, serving_database
from tests.support.headless import Headless, database_environment, until_ready

_PROJECT = ROOT / "tests" / "strapi"
_MODULES = Path(os.environ.get("PME_STRAPI", ROOT / ".venv" / "strapi")) / "node_modules"


def missing() -> str | None:
    """Why Strapi cannot run here; ``None`` where it can."""
    return None if (_MODULES / "@strapi" / "strapi").exists() else "needs Strapi, which make strapi installs"


@contextmanager
def serving_strapi() -> Iterator[Headless]:
    """Serve a Strapi with a type of spaces, each with its model."""
    with tempfile.TemporaryDirectory(prefix="pme-cms-") as folder, serving_database("postgresql") as database:
        home, port = Path(folder) / "spaces", free_port()
        shutil.copytree(_PROJECT, home)
        (home / "node_modules").symlink_to(_MODULES)
        for needed in ("public/uploads", "database/migrations"):
            (home / needed).mkdir(parents=True, exist_ok=True)
        (home / "favicon.png").touch()
        token = home / "token"
        env = {
            **database_environment(fresh(database), folder), "PORT": str(port), "NODE_ENV": "production",
            "TOKEN_FILE": str(token), "STRAPI_TELEMETRY_DISABLED": "true",
        }  # fmt: skip
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                ["node", "node_modules/@strapi/strapi/bin/strapi.js", "start"],
                cwd=home,
                env=env,
                stdout=log,
                stderr=log,
            )
            try:
                cms = Headless(f"http://127.0.0.1:{port}", until_ready(token.read_text))
                until_ready(lambda: cms.call("GET", "api/spaces"))
                yield cms
            finally:
                stop(server)
