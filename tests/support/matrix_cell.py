"""What is checked of the installed wheel in each cell of the matrix: a program that the cell's own Python runs.

It needs nothing but the wheel: no pytest, no checkout. It prints a line for each check, and ends with 1 if one failed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

SECRET = "matrix-client-secret-not-a-real-one"
DAGS = ("pme_leak_response", "pme_link_keeper", "pme_nightly_rotation", "pme_revocation_sweep")
PLACEMENTS = """
audience: intranet
valid_for: 24h
models: {query: "*"}
targets:
  - {kind: object_storage, path: "file:///srv/embeds"}
  - {kind: wordpress, pages: {yyHDFKzPzvN: 42}}
  - {kind: http, http_conn_id: cms, endpoint: "items/spaces/{model_id}", json: {tour_url: "{link}"}}
"""
#: Modules of extras that a cell may not have, and one that Alembic alone runs.
LEFT_OUT = ("pme_airflow.share", "pme_airflow.ledger.migrations.versions", "pme_airflow.ledger.migrations.env")
OF_EXTRAS = ("pme_airflow.hooks.slack", "pme_airflow.targets.slack")


def check_imports() -> None:
    """Import every module with warnings as errors; Airflow itself is imported before, with its own warnings."""
    import pme_airflow

    for name in ("airflow.sdk", "airflow.api_fastapi.core_api.security"):
        importlib.import_module(name)

    assert "site-packages" in pme_airflow.__file__, f"not the installed wheel: {pme_airflow.__file__}"
    for module in pkgutil.walk_packages(pme_airflow.__path__, "pme_airflow."):
        if module.name.startswith((*LEFT_OUT, *OF_EXTRAS)) or module.name.endswith("__main__"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            importlib.import_module(module.name)


def check_metadata() -> None:
    """Validate the provider's metadata against the schema of this Airflow, and import all that it names."""
    import airflow
    import jsonschema

    from pme_airflow.provider import get_provider_info

    found = get_provider_info()
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(found, schema)
    for kind in ("operators", "hooks", "triggers"):
        for entry in found[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for transfer in found["transfers"]:
        importlib.import_module(transfer["python-module"])
    for connection in found["connection-types"]:
        module, _, name = connection["hook-class-name"].rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def check_dags() -> None:
    """Parse the DAGs that ``pme-airflow init`` writes."""
    import runpy

    folder = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    command("init", str(folder))
    for name in DAGS:
        dag = runpy.run_path(str(folder / f"{name}.py"))["dag"]
        assert dag.dag_id == name
        assert dag.tasks, f"{name} has no task"


def check_commands() -> None:
    """Mint against an emulator, and follow the links with the command line, for each form of the connection."""
    with emulator() as address:
        host = address.removeprefix("http://")
        as_json = json.dumps({"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": address})
        as_uri = f"pme://emulator-client:{quote(SECRET)}@{quote(f'http://{host}', safe='')}"
        for number, form in enumerate((as_json, as_uri)):
            home = Path(os.environ["AIRFLOW_HOME"]) / f"home{number}"
            home.mkdir()
            follow_links({"AIRFLOW_CONN_PME_DEFAULT": form, "AIRFLOW_HOME": str(home)})


def follow_links(environment: Mapping[str, str]) -> None:
    mint = "from pme_airflow.hooks.pme import PMEHook; print(PMEHook().mint({'query': '*'}).links)"
    done = subprocess.run(
        [sys.executable, "-c", mint], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "3", done.stdout
    links = json.loads(command("ledger", "list", "--format", "json", **environment))
    assert [link["state"] for link in links] == ["live"] * 3
    command("ledger", "flag", links[0]["fingerprint"], "--sweep", "--reason", "matrix", **environment)
    assert json.loads(command("ledger", "list", "--state", "revoked", "--format", "json", **environment))
    assert "survive an outage" in command("plan", os.environ["PME_PLACEMENTS"], **environment)


def check_page() -> None:
    """Start this Airflow's API server: the page and its JSON answer whoever is logged in, and nobody else."""
    from pme_airflow.dev.playground.live import USER, LiveAirflow

    home = Path(os.environ["AIRFLOW_HOME"]) / "home0"  # where check_commands has minted with the connection as JSON
    connection = {"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": "http://127.0.0.1:9"}
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW_CONN_PME_DEFAULT": json.dumps(connection)}
    (link, *_) = json.loads(command("ledger", "list", "--state", "live", "--format", "json", **env))
    live = LiveAirflow(home, env)
    migrated = subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=live.env, capture_output=True)
    assert migrated.returncode == 0, migrated.stderr[-2000:]
    server = live.start_part("api-server")
    try:
        until = time.monotonic() + 180
        while answer(f"{live.address}/api/v2/version")[0] != 200:
            assert server.poll() is None, (home / "api-server.log").read_text()[-3000:]
            assert time.monotonic() < until, "the API server does not answer"
            time.sleep(1)
        login = {"username": USER, "password": live.password}
        token = json.loads(answer(f"{live.address}/auth/token", body=login)[1])["access_token"]
        assert "Private links" in answer(f"{live.address}/pme/", token)[1]
        for route in ("slots", "leaks", "health", f"links/{link['link_id']}"):
            assert answer(f"{live.address}/pme/api/{route}")[0] in (401, 403), f"{route} answers anybody"
            status, text = answer(f"{live.address}/pme/api/{route}", token)
            assert status == 200, f"{route}: {status} {text[:500]}"
        assert link["fingerprint"] in text
        assert "pme" in {
            plugin["name"] for plugin in json.loads(answer(f"{live.address}/api/v2/plugins", token)[1])["plugins"]
        }
        assert "pme-airflow" in answer(f"{live.address}/api/v2/providers?limit=200", token)[1]
    finally:
        live.stop()


def answer(url: str, token: str = "", body: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Send a request to this machine; return the status, 0 where nothing listens, and the text."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers), timeout=60) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def command(*arguments: str, **environment: str) -> str:
    """Run ``pme-airflow``; return what it printed."""
    program = Path(sys.executable).parent / "pme-airflow"
    done = subprocess.run(
        [program, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"pme-airflow {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    from pme_airflow.dev.emulator import Settings, World
    from pme_airflow.dev.emulator.samples import sample_models
    from pme_airflow.dev.emulator.server import serving

    with serving(World(Settings("emulator-client", SECRET, sample_models(3)))) as address:
        yield address


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pme-cell-") as home:
        (Path(home) / "my-placements.yaml").write_text(PLACEMENTS)
        os.environ.update(AIRFLOW_HOME=home, PME_PLACEMENTS=f"{home}/my-placements.yaml", PYTHONWARNINGS="ignore")
        for check in (check_imports, check_metadata, check_dags, check_commands, check_page):
            error = io.StringIO()
            try:
                check()
            except BaseException:  # noqa: BLE001 - each check is tried, whatever became of the others
                traceback.print_exc(file=error)
                failed += 1
            print(f"{check.__name__.removeprefix('check_')}: {'FAILED' if error.getvalue() else 'good'}")
            print(error.getvalue(), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
