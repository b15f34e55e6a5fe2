"""A real Redmine on this machine, where Debian's packages are installed: over SQLite, with a project that has a wiki."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pme_airflow.dev.playground.home import stop
from pme_airflow.dev.playground.live import free_port
from pme_airflow.dev.target_kit import BehindProxy
from pme_airflow.dev.target_kit.proxy import Proxy
from pme_airflow.targets.base import Target
from tests.support.headless import until_ready
from tests.support.recipes import target_of

_ROOT = Path("/usr/share/redmine")
#: The database that Debian's package fills when it is installed.
_FILLED = Path("/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default")
_WEBRICK = Path("/usr/share/rubygems-integration/all/gems")
#: Loads Redmine once, makes two accounts and a project, and serves.
_SERVER = """
ENV['RAILS_ENV'] = 'production'
require '/usr/share/redmine/config/environment'
Rails.logger.level = Logger::FATAL
Setting.rest_api_enabled = '1'
keys = %w[bot editor].map do |login|
  user = User.new(firstname: login, lastname: login, mail: "#{login}@example.test", admin: true, status: 1, language: 'en')
  user.login = login
  user.password = user.password_confirmation = 'a-password-of-the-tests'
  user.save!
  user.api_key
end
project = Project.create!(name: 'Spaces', identifier: 'spaces', is_public: true)
project.enabled_module_names = ['wiki']
Wiki.create!(project: project, start_page: 'Wiki') unless project.reload.wiki
Role.anonymous.add_permission!(:view_wiki_pages)
$LOAD_PATH.unshift(ARGV[2])
require 'rack/handler/webrick'
File.write(ARGV[1], keys.join(' '))
log = WEBrick::Log.new($stderr, 1)
Rack::Handler::WEBrick.run(RedmineApp::Application, Host: '127.0.0.1', Port: ARGV[0].to_i, AccessLog: [], Logger: log)
"""


def missing() -> str | None:
    """Why Redmine cannot run here; ``None`` where it can."""
    whole = shutil.which("ruby") and os.access(_FILLED, os.R_OK) and list(_WEBRICK.glob("webrick-*/lib"))
    return (
        None if whole else "needs Debian's redmine, redmine-sqlite and ruby-webrick, and to read its database as root"
    )


@dataclass
class Tracker:
    """A running Redmine, and the API keys of the bot and of an editor."""

    address: str
    key: str
    editor: str

    def call(self, method: str, page: str, body: Any = None, *, version: int | None = None) -> Any:
        """Call the API for a wiki page, as the editor."""
        at = f"{self.address}/projects/spaces/wiki/{page}{'' if version is None else f'/{version}'}.json"
        answer = requests.request(method, at, json=body, headers={"X-Redmine-API-Key": self.editor}, timeout=60)
        answer.raise_for_status()
        return answer.json()["wiki_page"] if answer.content else None

    def seen(self, page: str) -> str:
        """A page as visitors see it."""
        return requests.get(f"{self.address}/projects/spaces/wiki/{page}", timeout=60).text


@contextmanager
def serving_redmine() -> Iterator[Tracker]:
    """Serve a Redmine over a copy of the filled database."""
    with tempfile.TemporaryDirectory(prefix="pme-redmine-") as name:
        folder, port = Path(name), free_port()
        shutil.copy(_FILLED, folder / "db")
        (folder / "serve.rb").write_text(_SERVER)
        env = {
            "PATH": os.environ.get("PATH", os.defpath), "DATABASE_URL": f"sqlite3:{folder}/db", "SECRET_KEY_BASE": "x" * 64,
            "LANG": "C.UTF-8", "HOME": name,
        }  # fmt: skip
        (webrick,) = list(_WEBRICK.glob("webrick-*/lib"))[:1]
        with (folder / "log").open("wb") as log:
            command = ["ruby", str(folder / "serve.rb"), str(port), str(folder / "keys"), str(webrick)]
            server = subprocess.Popen(command, cwd=_ROOT, env=env, stdout=log, stderr=log)
            try:
                key, editor = until_ready((folder / "keys").read_text).split()
                tracker = Tracker(f"http://127.0.0.1:{port}", key, editor)
                until_ready(lambda: requests.get(tracker.address, timeout=60))
                yield tracker
            finally:
                stop(server)


class RedminePlace(BehindProxy):
    """Wiki pages with a place for a link each, which somebody edits between a read and a write.

    :ivar edits: how often that has happened.
    """

    keeps_old = True
    #: Every which read of a page is followed by an edit at once.
    every = 4

    def __init__(self, proxy: Proxy, tracker: Tracker, models: Sequence[str]) -> None:
        super().__init__(proxy)
        self.tracker, self.reads, self.edits = tracker, 0, 0
        self.notes = dict.fromkeys(models, 0)
        for model_id in models:
            text = f"Note 0.\n\n[space] [/space]\n\n_Tail_ of {model_id} & more"
            tracker.call("PUT", f"Space_{model_id}", {"wiki_page": {"text": text}})
        proxy.after = self._edit_now_and_then

    def target(self) -> Target:
        return target_of("redmine", self.proxy.address, headers={"X-Redmine-API-Key": self.tracker.key})

    def shown(self, model_id: str) -> str:
        return self.tracker.seen(f"Space_{model_id}")

    def everything(self) -> str:
        held = []
        for page in (f"Space_{model_id}" for model_id in self.notes):
            newest = self.tracker.call("GET", page)["version"]
            held += [str(self.tracker.call("GET", page, version=version)) for version in range(1, newest + 1)]
        return "".join(held)

    def check_untouched(self) -> None:
        for model_id, note in self.notes.items():
            text = self.tracker.call("GET", f"Space_{model_id}")["text"].replace("\r\n", "\n")
            assert text.startswith(f"Note {note}.\n\n[space]"), text[:40]
            assert text.endswith(f"[/space]\n\n_Tail_ of {model_id} & more")

    def _edit_now_and_then(self, method: str, path: str) -> None:
        found = re.search(r"/Space_(\w+)\.json", path)
        if found is None or method != "GET":
            return
        self.reads += 1
        if self.reads % self.every == 0:
            self.edits += 1
            page, note = f"Space_{found[1]}", self.notes[found[1]]
            text = self.tracker.call("GET", page)["text"]
            self.notes[found[1]] += 1
            edited = text.replace(f"Note {note}.", f"Note {note + 1}.")
            self.tracker.call("PUT", page, {"wiki_page": {"text": edited}})
