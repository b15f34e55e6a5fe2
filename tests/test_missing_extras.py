"""Each face names the extra to install, before a link is minted or a request is made, where its modules are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.extras import EXTRAS, install_command, missing_for_store

#: Hides modules from the interpreter, calls each face, and prints its message as JSON. The API's address leads nowhere,
#: so that a face which asked the API first would end with another message.
PROBE = """
import contextlib, importlib.abc, io, json, os, runpy, sys
hidden = tuple(sys.argv[1].split(","))

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in hidden):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

import airflow.configuration  # reads the metadata of every provider that is installed, also of one that is hidden
sys.meta_path.insert(0, Hide())
for name in [name for name in sys.modules if name.startswith(hidden)]:
    del sys.modules[name]
from pme_airflow.placements import check, load
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.transfers.pme_to_slack import PMEToSlackOperator
from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator
from pme_airflow.triggers.reports import PMEReportTrigger
from pme_airflow.hooks.object_storage import storage_root
from pme_airflow.hooks.scan_places import Places
from pme_airflow.leaks.engines import engine_for

def message(face):
    try:
        return str(face())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def command(*arguments):
    from pme_airflow.cli import main
    output = io.StringIO()
    with contextlib.redirect_stderr(output):
        try:
            main(list(arguments), standalone_mode=False)
        except SystemExit as error:
            output.write(f"exit {error.code}")
    return output.getvalue()

faces = {
    "slack operator": lambda: PMEToSlackOperator(task_id="a", links=[], channel="#tours"),
    "storage operator": lambda: PMEToObjectStorageOperator(task_id="b", links=[], path="s3://bucket/x"),
    "storage root": lambda: storage_root("s3://bucket/x"),
    "report trigger": lambda: PMEReportTrigger("s3://bucket/reports"),
    "scan": lambda: [str(part) for part in Places().open("s3://bucket/x")],
    "placements": lambda: check(open(os.environ["PME_PLACEMENTS"]).read()),
    "DAG": lambda: runpy.run_path(sys.argv[3]),
    "plan": lambda: command("plan"),
    "mint": lambda: PMEHook().mint(["yyHDFKzPzvN"]),
    "Test button": lambda: PMEHook().test_connection(),
    "ledger list": lambda: command("ledger", "list"),
    "sweep": lambda: command("sweep"),
    "engine": lambda: engine_for([b"pattern"], "hyperscan"),
}
print(json.dumps({name: message(faces[name]) for name in sys.argv[2].split(",")}))
"""
PLACEMENT = """
audience: intranet
models: [yyHDFKzPzvN]
targets:
  - {}
"""
SLACK = PLACEMENT.format('{kind: slack, channel: "#tours"}')
S3 = PLACEMENT.format('{kind: object_storage, path: "s3://bucket/x"}')
PLACEMENT_FACES = "placements,DAG,plan"
LEDGER_FACES = "mint,ledger list,sweep"


def messages(tmp_path: Path, hidden: str, faces: str, placements: str = "[]", ledger: str = "sqlite") -> dict[str, str]:
    """Return what each face says where modules are hidden."""
    (tmp_path / "placements.yaml").write_text(placements)
    connection = {
        "conn_type": "pme", "host": "http://127.0.0.1:9", "login": "client", "password": "a-secret-of-some-length",
        "extra": {"ledger_conn_id": "pme_ledger", "timeout": 0.2},
    }  # fmt: skip
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PME_"))}
    env |= {
        "AIRFLOW_HOME": str(tmp_path), "PME_PLACEMENTS": str(tmp_path / "placements.yaml"), "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore", "AIRFLOW_CONN_PME_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_PME_LEDGER": json.dumps({"conn_type": ledger, "host": "127.0.0.1", "port": 9, "schema": "pme"}),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROBE, hidden, faces, str(ROOT / "dags" / "pme_nightly_rotation.py")],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("extra", "hidden", "faces", "placements", "ledger"),
    [
        ("slack", "slack_sdk", f"slack operator,{PLACEMENT_FACES}", SLACK, "sqlite"),
        ("slack", "airflow.providers.slack", "slack operator,placements", SLACK, "sqlite"),
        ("s3", "s3fs", f"storage operator,storage root,report trigger,scan,{PLACEMENT_FACES}", S3, "sqlite"),
        ("s3", "airflow.providers.amazon", "storage operator,scan,placements", S3, "sqlite"),
        ("postgres", "airflow.providers.postgres", LEDGER_FACES, "[]", "postgres"),
        ("postgres", "psycopg2,psycopg", LEDGER_FACES, "[]", "postgres"),
        ("mysql", "pymysql", LEDGER_FACES, "[]", "mysql"),
        ("scan", "hyperscan", "engine", "[]", "sqlite"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)
def test_each_face_names_the_extra_to_install(
    tmp_path: Path, extra: str, hidden: str, faces: str, placements: str, ledger: str
) -> None:
    found = messages(tmp_path, hidden, faces, placements, ledger)
    unnamed = {name: message for name, message in found.items() if install_command(extra) not in message}
    assert not unnamed
    assert len(found) == len(faces.split(","))


def test_every_extra_is_declared_and_tried_here() -> None:
    declared = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n\n")[0]
    names = {line.split(" = ")[0] for line in declared.strip().splitlines()}
    assert names - {"all"} == set(EXTRAS)


@pytest.mark.parametrize("scheme", ["gs", "abfs"])
def test_packages_of_other_stores_are_named(scheme: str) -> None:
    assert "run pip install apache-airflow-providers-" in missing_for_store(f"{scheme}://bucket/x")


@pytest.mark.parametrize("path", ["/srv/embeds", "file:///srv/embeds", "{{ var.value.path }}"])
def test_a_path_that_needs_no_store_passes(path: str) -> None:
    assert missing_for_store(path) == ""
