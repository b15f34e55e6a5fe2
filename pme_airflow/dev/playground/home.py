"""Make an Airflow home whose PME connection uses an emulator, and run commands in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pme_airflow.errors import PMEError
from pme_airflow.shipped_files import shipped

__all__ = [
    "ROOT",
    "SECRET",
    "PlaygroundError",
    "airflow",
    "all_published",
    "command",
    "environment",
    "start_emulator",
    "stop",
]

SECRET = "demo-client-secret-not-a-real-one"  # noqa: S105 - it opens the emulator alone
#: The checkout that contains this package.
ROOT = Path(__file__).resolve().parents[3]


class PlaygroundError(PMEError):
    """A program of the playground did not start or failed; the message names it and ends with its log."""


def environment(home: Path, address: str, placements: str, **extra: str) -> dict[str, str]:
    """Make an Airflow home; return the environment in which to run Airflow.

    :param home: the folder of the home.
    :param address: the address of the emulator.
    :param placements: the text of ``placements.yaml``.
    :param extra: further environment variables; they replace those of the same name.
    """
    home.mkdir(parents=True, exist_ok=True)
    (home / "placements.yaml").write_text(placements)
    connection = {"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": address}
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(shipped("dags")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_PME_DEFAULT": json.dumps(connection),
        "PME_PLACEMENTS": str(home / "placements.yaml"),
        "PYTHONWARNINGS": "ignore",
        **extra,
    }


def all_published(published: Path, more: str = "", public_url: str = "") -> str:
    """Return placements that publish every model of the account to a folder.

    :param more: lines of ``placements.yaml`` with further targets.
    :param public_url: where the folder is served, for Airflow's link to the gallery.
    """
    served = f", public_url: '{public_url}'" if public_url else ""
    return (
        "audience: intranet\nvalid_for: 24h\nmodels: {query: '*'}\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{published}'{served}}}\n{more}"
    )


def start_emulator(home: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start an emulator in a process, and wait until it serves.

    :param options: options of ``pme-airflow emulator``; without ``--port`` it takes a free port.
    :return: the process and the emulator's address.
    :raises PlaygroundError: if it does not serve within 20 s.
    """
    home.mkdir(parents=True, exist_ok=True)
    ready = home / "emulator.address"
    ready.unlink(missing_ok=True)
    port = () if "--port" in options else ("--port", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "pme_airflow.cli", "emulator", *port, *options, "--ready-file", str(ready)],
        env={**os.environ, "PME_EMULATOR_SECRET": SECRET},
        stderr=subprocess.DEVNULL,
    )
    for _ in range(400):
        if ready.exists() and (address := ready.read_text()):
            return process, address
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise PlaygroundError(f"The emulator did not start. Run `pme-airflow emulator {' '.join(options)}` to see why.")


def command(env: Mapping[str, str], *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a Python module in a home, and wait until it ends."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=dict(env), input=stdin, capture_output=True, text=True, check=False
    )


def airflow(env: Mapping[str, str], *arguments: str, check: bool = True) -> int:
    """Run an Airflow command.

    :return: the exit status.
    :raises PlaygroundError: if the command fails and ``check`` is true.
    """
    done = command(env, "airflow", *arguments)
    if check and done.returncode:
        raise PlaygroundError(f"airflow {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.returncode


def stop(process: subprocess.Popen[bytes] | None) -> None:
    """Terminate a process, and kill it if it has not ended after 15 s."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
