"""The demo: an emulator, a real Airflow, one run of the nightly DAG, one leaked link, and what came of each."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.playground.home import (
    PlaygroundError,
    airflow,
    all_published,
    command,
    environment,
    start_emulator,
    stop,
)
from pme_airflow.dev.playground.places import Places, serving_places
from pme_airflow.extras import require_extra
from pme_airflow.iso_times import parse_iso

__all__ = ["run_demo"]

_MODELS = 5

console = Console(highlight=False, soft_wrap=True)


def run_demo(*, keep: bool = False) -> int:
    """Run the demo.

    :param keep: whether to keep the folder that it works in.
    :return: the exit status: 0 if every step gave what it should.
    :raises PMEInputError: if the extra ``slack`` is not installed.
    """
    require_extra("slack")
    home = Path(tempfile.mkdtemp(prefix="pme-demo-"))
    try:
        with ExitStack() as stack:
            good = _run(home, stack)
        console.print(
            "Next: [bold]pme-airflow up[/] runs a whole Airflow to try, [bold]pme-airflow init[/] sets up yours."
        )
        if not good:
            console.print("[bold red]A step failed.[/] `pme-airflow demo --keep` keeps its logs.")
        return 0 if good else 1
    finally:
        if keep:
            console.print(f"The files of the demo are in {home}.")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _run(home: Path, stack: ExitStack) -> bool:
    """Run all steps; return whether each gave what it should."""
    console.print("[bold]1.[/] An emulator of the PME API starts: an account with five private spaces.")
    emulator, address = start_emulator(home, "--models", str(_MODELS))
    stack.callback(stop, emulator)
    console.print("   So do a stand-in of Slack and, if Debian's package is installed, a real WordPress.")
    places = stack.enter_context(serving_places(sample_models(_MODELS)))
    env = environment(home, address, all_published(home / "published", places.targets), **places.environment)
    console.print("[bold]2.[/] Airflow creates its database and runs the nightly rotation.")
    airflow(env, "db", "migrate")
    status = airflow(env, "dags", "test", "pme_nightly_rotation", check=False)
    console.print("[bold]3.[/] The result:")
    demo = Demo(home, env)
    results = [status == 0, demo.print_links(), demo.print_places(places)]
    console.print("[bold]4.[/] A link leaks into a ticket:")
    return all([*results, demo.leak()])


@dataclass(frozen=True)
class Demo:
    """A demo whose links have been published.

    :param home: its Airflow home.
    :param env: the environment of its commands.
    """

    home: Path
    env: Mapping[str, str]

    @property
    def published(self) -> Path:
        """The folder that the links are published to."""
        return self.home / "published"

    def ledger(self) -> list[dict[str, Any]]:
        """Return the links in the ledger.

        :raises PlaygroundError: if the command fails.
        """
        listed = command(self.env, "pme_airflow.cli", "ledger", "list", "--format", "json")
        if listed.returncode:
            raise PlaygroundError(listed.stderr)
        links: list[dict[str, Any]] = json.loads(listed.stdout)
        return links

    def print_links(self) -> bool:
        """Print the links in the ledger; return whether each model has a live link and a page."""
        links = self.ledger()
        table = Table("model", "state", "until (UTC)", "fingerprint", "page")
        pages = 0
        for link in links:
            page = self.published / link["model_id"] / "embed.html"
            pages += page.exists()
            until = link["valid_until"][:16].replace("T", " ")
            fingerprint = f"{str(link['fingerprint'])[:15]}…"
            table.add_row(link["model_id"], link["state"], until, fingerprint, f"{page.parent.name}/{page.name}")
        console.print(table)
        console.print(f"   The gallery is {self.published}/index.html (`pme-airflow demo --keep` keeps it).")
        console.print(f"   XCom contains each link sealed: {self.xcom_item()}")
        console.print("   So does the ledger. A token is in clear only where its link is shown.")
        live = sum(1 for link in links if link["state"] == "live")
        console.print(f"[bold]{live} links live, {pages} pages published.[/]")
        return live == _MODELS and pages == _MODELS

    def print_places(self, places: Places) -> bool:
        """Print how many links the channel and the WordPress page show; return whether they show all."""
        records = [json.loads(record.read_text()) for record in self.published.glob("*/link.json")]
        tokens = [record["access_token"] for record in records]
        texts = {"The channel": requests.get(places.channel, timeout=30).text}
        if places.site is not None and places.page_number:
            texts["The WordPress page"] = places.site.content(places.page_number)
        else:
            console.print(f"   There is no WordPress here: {places.why}.")
        for place, text in texts.items():
            console.print(f"   {place} shows {sum(token in text for token in tokens)} of the {len(tokens)} links.")
        return all(token in text for token in tokens for text in texts.values())

    def leak(self) -> bool:
        """Leak a link, scan for it, and run the keeper; return whether it was revoked and its page shows a new link."""
        page = min(self.published.glob("*/link.json"))
        leaked = json.loads(page.read_text())
        found = self._scan(self._ticket(leaked["link"]))
        for hit in found:
            console.print(f"   `pme-airflow scan --sweep` finds it in {Path(hit['path']).name} and revokes it.")
        links = {link["link_id"]: link for link in self.ledger() if link["state"] == "revoked"}
        revoked = [links[hit["link_id"]] for hit in found if hit["link_id"] in links]
        for link in revoked:
            exposure = parse_iso(link["revoked_at"]) - parse_iso(link["flagged_at"])
            console.print(f"   Exposure, from flag to the API's confirmation: {exposure.total_seconds():.2f} s.")
        status = airflow(self.env, "dags", "test", "pme_link_keeper", check=False)
        healed = json.loads(page.read_text())["access_token"] != leaked["access_token"]
        outcome = "shows a new link" if healed else "does NOT show a new link"
        console.print(f"   After a run of the keeper, the page of {leaked['model_id']} {outcome}.")
        return bool(revoked) and healed and status == 0

    def _ticket(self, link: str) -> Path:
        """Write an archive with a ticket that quotes a link; return its folder."""
        folder = self.home / "tickets"
        folder.mkdir()
        quoted = link.replace("+", "%20").replace("&", "&amp;")
        with zipfile.ZipFile(folder / "export.zip", "w") as archive:
            archive.writestr("ticket-4711.txt", f"The tour is at {quoted} - can anybody open it?")
        return folder

    def _scan(self, folder: Path) -> list[dict[str, Any]]:
        options = ("--format", "json", "--sweep", "--reason", "in ticket 4711")
        found: list[dict[str, Any]] = json.loads(
            command(self.env, "pme_airflow.cli", "scan", *options, str(folder)).stdout or "[]"
        )
        return found

    def xcom_item(self) -> str:
        """Return one link as XCom contains it in Airflow's database, shortened."""
        query = "SELECT value FROM xcom WHERE key = 'return_value' AND task_id LIKE 'mint%'"
        with sqlite3.connect(self.home / "airflow.db") as database:
            rows = database.execute(query).fetchall()
        value: Any = rows[0][0] if rows else "[]"
        while isinstance(value, str | bytes):
            value = json.loads(value)
        if not value:
            return "nothing"
        return ", ".join(f"{key}={str(value[0][key])[:24]}…" for key in ("model_id", "valid_until", "link"))
