"""The demo: an emulator, a real Airflow, the shipped nightly DAG, and plain words about what came of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
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

__all__ = ["run_demo"]

_MODELS = 5

console = Console(highlight=False, soft_wrap=True)


def run_demo(*, keep: bool = False) -> int:
    """Run the demo.

    :param keep: whether the folder is kept, to look around in.
    :return: the exit status: 0 where every model's live link is published.
    """
    home = Path(tempfile.mkdtemp(prefix="pme-demo-"))
    emulator = None
    stack = ExitStack()
    try:
        console.print("[bold]1.[/] A stand-in PME API starts: an organisation with five private spaces.")
        emulator, address = start_emulator(home, "--models", str(_MODELS))
        console.print("   So do a stand-in of Slack, and a real WordPress where Debian's package is installed.")
        places = stack.enter_context(serving_places(sample_models(_MODELS)))
        placements = all_published(home / "published", places.targets)
        env = environment(home, address, placements, **places.environment)
        console.print("[bold]2.[/] Airflow makes its database, and runs the nightly rotation for real.")
        airflow(env, "db", "migrate")
        status = airflow(env, "dags", "test", "pme_nightly_rotation", check=False)
        console.print("[bold]3.[/] What came of it:")
        good = _tell(home, env) and status == 0
        good = _elsewhere(home, places) and good
        console.print("[bold]4.[/] A link leaks into a ticket:")
        good = _leak(home, env) and good
        console.print("Next: [bold]make up[/] for a whole Airflow to click through; README.md for your own connection.")
        if not good:
            console.print("[bold red]That is not as it should be.[/] `pme-airflow demo --keep` keeps its logs.")
        return 0 if good else 1
    finally:
        stop(emulator)
        stack.close()
        if keep:
            console.print(f"Everything lies in {home}.")
        else:
            shutil.rmtree(home, ignore_errors=True)


def ledger_rows(env: Mapping[str, str]) -> list[dict[str, Any]]:
    """What ``pme-airflow ledger list`` says."""
    listed = command(env, "pme_airflow.cli", "ledger", "list", "--format", "json")
    if listed.returncode:
        raise PlaygroundError(listed.stderr)
    rows: list[dict[str, Any]] = json.loads(listed.stdout)
    return rows


def _tell(home: Path, env: Mapping[str, str]) -> bool:
    rows = ledger_rows(env)
    table = Table("model", "state", "until (UTC)", "fingerprint", "page")
    published = home / "published"
    shown = 0
    for row in rows:
        page = published / row["model_id"] / "embed.html"
        shown += page.exists()
        until = row["valid_until"][:16].replace("T", " ")
        mark = str(row["fingerprint"])[:15] + "…"
        table.add_row(row["model_id"], row["state"], until, mark, f"{page.parent.name}/{page.name}")
    console.print(table)
    console.print(f"   The gallery is {published}/index.html (`pme-airflow demo --keep` keeps it).")
    console.print(f"   XCom holds each link sealed: {_an_xcom_item(home)}")
    console.print("   So does the ledger: a token in clear lies in what is shown alone.")
    live = sum(1 for row in rows if row["state"] == "live")
    console.print(f"[bold]{live} links live, {shown} pages published.[/]")
    return live == _MODELS and shown == _MODELS


def _elsewhere(home: Path, places: Places) -> bool:
    """Whether the channel and the page show each published link too."""
    links = [json.loads(record.read_text())["access_token"] for record in (home / "published").glob("*/link.json")]
    shown = {"The channel": requests.get(places.channel, timeout=30).text}
    if places.site is not None and places.page_number:
        shown["The WordPress page"] = places.site.content(places.page_number)
    else:
        console.print(f"   There is no WordPress here: {places.why}.")
    for place, text in shown.items():
        console.print(f"   {place} shows {sum(link in text for link in links)} of the {len(links)} links.")
    return all(link in text for link in links for text in shown.values())


def _leak(home: Path, env: Mapping[str, str]) -> bool:
    """A link leaks, is found by the scan, dies, and its slot heals."""
    page = sorted((home / "published").glob("*/link.json"))[0]
    leaked = json.loads(page.read_text())
    (home / "tickets").mkdir()
    quoted = leaked["link"].replace("+", "%20").replace("&", "&amp;")
    with zipfile.ZipFile(home / "tickets" / "export.zip", "w") as archive:
        archive.writestr("ticket-4711.txt", f"The tour is at {quoted} - can anybody open it?")
    scan = (
        "pme_airflow.cli",
        "scan",
        "--format",
        "json",
        str(home / "tickets"),
        "--sweep",
        "--reason",
        "in ticket 4711",
    )
    found = json.loads(command(env, *scan).stdout or "[]")
    for hit in found:
        console.print(f"   `pme-airflow scan --sweep` finds it in {Path(hit['path']).name}, and revokes it.")
    gone = {row["link_id"]: row for row in ledger_rows(env) if row["state"] == "revoked"}
    dead = [gone[hit["link_id"]] for hit in found if hit["link_id"] in gone]
    for row in dead:
        shown = _moment(row["revoked_at"]) - _moment(row["flagged_at"])
        console.print(f"   Exposure, from flag to the API's confirmation: {shown.total_seconds():.2f} s.")
    status = airflow(env, "dags", "test", "pme_link_keeper", check=False)
    healed = json.loads(page.read_text())["access_token"] != leaked["access_token"]
    console.print(f"   The keeper {'has healed' if healed else 'has not healed'} the page of {leaked['model_id']}.")
    return bool(dead) and healed and status == 0


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _an_xcom_item(home: Path) -> str:
    """One link as the run's XCom holds it in Airflow's database, shortened."""
    with sqlite3.connect(home / "airflow.db") as database:
        rows = database.execute("SELECT value FROM xcom WHERE key = 'return_value' AND task_id LIKE 'mint%'").fetchall()
    value: Any = rows[0][0] if rows else "[]"
    while isinstance(value, str | bytes):
        value = json.loads(value)
    if not value:
        return "nothing"
    return ", ".join(f"{key}={str(value[0][key])[:24]}…" for key in ("model_id", "valid_until", "link"))
