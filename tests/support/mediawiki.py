"""A real MediaWiki on this machine, where Debian's package is installed: over SQLite, with a bot's password."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pme_airflow.dev.playground.live import free_port
from pme_airflow.dev.target_kit import BehindProxy
from pme_airflow.dev.target_kit.proxy import Proxy
from pme_airflow.targets.base import Target
from tests.support.headless import until_ready
from tests.support.recipes import target_of

_ROOT = Path("/usr/share/mediawiki")
_PASSWORD = "a-test's-password-1"
_BOT_PASSWORD = "0123456789abcdef0123456789abcdef"
_SETTINGS = """
$wgRateLimits = []; $wgMainCacheType = CACHE_NONE; $wgEnableUploads = false; $wgJobRunRate = 0;
$wgSessionCacheType = CACHE_DB;
"""


def missing() -> str | None:
    """Why MediaWiki cannot run here; ``None`` where it can."""
    drivers = shutil.which("php") and subprocess.run(["php", "-m"], capture_output=True, text=True).stdout
    whole = (_ROOT / "api.php").exists() and drivers and {"pdo_sqlite", "mbstring", "xml"} <= set(drivers.split())
    return None if whole else "needs Debian's mediawiki, php-cli, php-sqlite3, php-mbstring and php-xml"


@dataclass
class Wiki:
    """A running wiki, and the sessions of its administrator and of an editor."""

    address: str
    login: str = "Bot@links"
    password: str = _BOT_PASSWORD

    def page(self, title: str, *, text: str | None = None) -> str:
        """A page's text, after it was written by somebody else if one is given."""
        session = requests.Session()
        if text is not None:
            token = self.call(session, action="query", meta="tokens")["query"]["tokens"]["csrftoken"]
            done = self.call(session, post=True, action="edit", title=title, text=text, token=token)
            assert done["edit"]["result"] == "Success"
        found = self.call(session, action="query", prop="revisions", rvprop="content", rvslots="main", titles=title)
        return str(found["query"]["pages"][0]["revisions"][0]["slots"]["main"]["content"])

    def history(self, title: str) -> str:
        """Every revision of a page."""
        found = self.call(
            requests.Session(),
            action="query",
            prop="revisions",
            rvprop="content",
            rvslots="main",
            rvlimit="max",
            titles=title,
        )
        return str(found["query"]["pages"][0]["revisions"])

    def seen(self, title: str) -> str:
        """A page as visitors see it."""
        answer = requests.get(f"{self.address}/index.php", {"title": title, "action": "render"}, timeout=60)
        return answer.text

    def call(self, session: requests.Session, *, post: bool = False, **fields: str) -> dict[str, Any]:
        given = {**fields, "format": "json", "formatversion": "2"}
        sent = {"data": given} if post else {"params": given}
        answer = session.request("POST" if post else "GET", f"{self.address}/api.php", timeout=60, **sent)  # type: ignore[arg-type]
        answer.raise_for_status()
        return dict(answer.json())


@contextmanager
def serving_mediawiki() -> Iterator[Wiki]:
    """Install a wiki in a folder, and serve it."""
    with tempfile.TemporaryDirectory(prefix="pme-wiki-") as folder:
        address = f"http://127.0.0.1:{free_port()}"
        _install(Path(folder), address)
        with (Path(folder) / "log").open("wb") as log:
            env = _environment(Path(folder)) | {"PHP_CLI_SERVER_WORKERS": "4"}
            server = subprocess.Popen(
                ["php", "-S", address.removeprefix("http://"), "-t", str(_ROOT)],
                env=env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                wiki = Wiki(address)
                until_ready(lambda: wiki.call(requests.Session(), action="query", meta="siteinfo"))
                yield wiki
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(10)


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "MW_CONFIG_FILE": str(folder / "LocalSettings.php")}


def _install(folder: Path, address: str) -> None:
    (folder / "data").mkdir()
    plain = {"PATH": os.environ.get("PATH", os.defpath)}
    install = ["install.php", "--dbtype", "sqlite", "--dbpath", str(folder / "data"), "--dbname", "wiki", "--pass", _PASSWORD,
               "--server", address, "--scriptpath", "", "--confpath", str(folder), "--skins", "Vector", "Wiki", "Admin"]  # fmt: skip
    _php(install, plain)
    settings = folder / "LocalSettings.php"
    settings.write_text(re.sub(r"\$wgMainCacheType = .*", "", settings.read_text()) + _SETTINGS)
    env = _environment(folder)
    _php(["createAndPromote.php", "--force", "Bot", _PASSWORD], env)
    grants = "basic,editpage,highvolume"
    _php(["createBotPassword.php", "--appid", "links", "--grants", grants, "Bot", _BOT_PASSWORD], env)


def _php(command: Sequence[str], env: dict[str, str]) -> None:
    script, *arguments = command
    subprocess.run(
        ["php", str(_ROOT / "maintenance" / script), *arguments], env=env, check=True, capture_output=True, timeout=120
    )


class WikiPlace(BehindProxy):
    """Pages with a place for a link each, which somebody edits between a read and a write.

    :ivar edits: how often that has happened.
    """

    keeps_old = True
    #: Every which read of a page is followed by an edit at once.
    every = 4

    def __init__(self, proxy: Proxy, wiki: Wiki, models: Sequence[str]) -> None:
        super().__init__(proxy)
        self.wiki, self.reads, self.edits = wiki, 0, 0
        self.notes = dict.fromkeys(models, 0)
        for model_id in models:
            wiki.page(
                f"Space {model_id}", text=f"Note 0. <!-- space --><!-- /space -->\n\n''Tail'' of {model_id} & more"
            )
        proxy.after = self._edit_now_and_then

    def target(self) -> Target:
        return target_of("mediawiki", self.proxy.address, login=self.wiki.login, password=self.wiki.password)

    def shown(self, model_id: str) -> str:
        return self.wiki.seen(f"Space {model_id}")

    def everything(self) -> str:
        return "".join(self.wiki.history(f"Space {model_id}") for model_id in self.notes)

    def check_untouched(self) -> None:
        for model_id, note in self.notes.items():
            text = self.wiki.page(f"Space {model_id}")
            assert text.startswith(f"Note {note}. <!-- space -->"), text[:40]
            assert text.endswith(f"<!-- /space -->\n\n''Tail'' of {model_id} & more")

    def _edit_now_and_then(self, method: str, path: str) -> None:
        """Change the line of the link, so that MediaWiki cannot merge both."""
        found = re.search(r"rvprop=ids.*titles=Space%20(\w+)", path)
        if found is None or method != "GET":
            return
        self.reads += 1
        if self.reads % self.every == 0:
            self.edits += 1
            title, note = f"Space {found[1]}", self.notes[found[1]]
            text = self.wiki.page(title)
            self.notes[found[1]] += 1
            self.wiki.page(title, text=text.replace(f"Note {note}.", f"Note {note + 1}."))
