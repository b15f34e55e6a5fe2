"""The demo: an emulator, a real Airflow, the shipped nightly DAG, and plain words about what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["run_demo", "write_home"]

_SECRET = "demo-client-secret-not-a-real-one"
_MODELS = 5
_DAGS = Path(__file__).resolve().parent.parent / "dags"

console = Console(highlight=False)


def write_home(home: Path, address: str, **extra: str) -> dict[str, str]:
    """Write an Airflow home whose ``pme_default`` leads to an emulator; return the environment to run in."""
    home.mkdir(parents=True, exist_ok=True)
    published = home / "published"
    placements = home / "placements.yaml"
    placements.write_text(
        "audience: intranet\nvalid_for: 24h\nmodels: {query: '*'}\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{published}'}}\n"
    )
    connection = {"conn_type": "pme", "login": "emulator-client", "password": _SECRET, "host": address}
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_PME_DEFAULT": json.dumps(connection),
        "PME_PLACEMENTS": str(placements),
        "PYTHONWARNINGS": "ignore",
        **extra,
    }


def start_emulator(home: Path, port: int = 0) -> tuple[subprocess.Popen[bytes], str]:
    """Start an emulator as a process of its own; its address once it serves."""
    home.mkdir(parents=True, exist_ok=True)
    ready = home / "emulator.address"
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "pme_airflow.cli", "emulator", "--port", str(port), "--models", str(_MODELS),
         "--ready-file", str(ready)],
        env={**os.environ, "PME_EMULATOR_SECRET": _SECRET},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(200):
        if ready.exists() and ready.read_text():
            return process, ready.read_text()
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise RuntimeError("the emulator did not start")


def run_demo(*, keep: bool = False) -> int:
    """Run the demo.

    :return: the exit status: 0 where every model's live link is published.
    """
    home = Path(tempfile.mkdtemp(prefix="pme-demo-"))
    emulator: subprocess.Popen[bytes] | None = None
    try:
        console.print("[bold]1.[/] A stand-in PME API starts: an organisation with five private spaces.")
        emulator, address = start_emulator(home)
        env = write_home(home, address)
        console.print("[bold]2.[/] Airflow makes its database, and runs the nightly rotation for real.")
        _airflow(env, "db", "migrate")
        status = _airflow(env, "dags", "test", "pme_nightly_rotation", check=False)
        console.print("[bold]3.[/] What came of it:")
        return _tell(home, env, status)
    finally:
        if emulator is not None:
            emulator.terminate()
            emulator.wait(10)
        if keep:
            console.print(f"Everything lies in {home}.")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _airflow(env: Mapping[str, str], *arguments: str, check: bool = True) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], env=dict(env), capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"airflow {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.returncode


def _tell(home: Path, env: Mapping[str, str], status: int) -> int:
    listed = subprocess.run(
        [sys.executable, "-m", "pme_airflow.cli", "ledger", "list", "--format", "json"],
        env=dict(env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows: list[dict[str, Any]] = json.loads(listed.stdout)
    table = Table("model", "state", "until", "fingerprint", "page")
    published = home / "published"
    shown = 0
    for row in rows:
        page = published / row["model_id"] / "embed.html"
        shown += page.exists()
        table.add_row(
            row["model_id"],
            row["state"],
            row["valid_until"],
            str(row["fingerprint"])[:19] + "…",
            f"{row['model_id']}/embed.html" if page.exists() else "-",
        )
    console.print(table)
    console.print(f"The gallery is {published / 'index.html'} (with `pme-airflow demo --keep`).")
    console.print("XCom and the ledger hold links sealed; a token in clear lies in the published pages alone.")
    console.print("Next: [bold]make up[/] for a whole Airflow to click through; README.md for your own connection.")
    live = sum(row["state"] == "live" for row in rows)
    good = status == 0 and live == shown == _MODELS
    console.print(f"[bold]{live} links live, {shown} pages published.[/]")
    if not good:
        console.print("[bold red]That is not as it should be.[/] Run `pme-airflow demo --keep` and look at its logs.")
    return 0 if good else 1
