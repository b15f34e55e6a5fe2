"""An account of more models than one XCom is to carry, through the shipped nightly DAG."""

from __future__ import annotations

import json
import sqlite3

import pytest

from pme_airflow.dev.emulator import Settings, World
from tests.airflow.test_nightly import NIGHTLY
from tests.conftest import SECRET
from tests.support.home import AirflowHome

MANY = {f"Model{index:06d}": f"Space {index}" for index in range(1100)}


@pytest.fixture
def world() -> World:
    return World(Settings(client_secret=SECRET, models=MANY))


@pytest.mark.timeout(300)
def test_it_is_split_and_shown_whole_with_no_list_of_models_in_xcom(home: AirflowHome, world: World) -> None:
    published = home.path / "published"
    home.place(
        "audience: intranet\nvalid_for: 24h\nmodels: {query: '*'}\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{published}'}}\n"
    )
    (run,) = home.run_dag(NIGHTLY)
    assert run["state"] == "success", run
    alive = {issued.token: issued.model_id for issued in world.alive()}
    assert len(alive) == len(MANY)
    for model_id in MANY:
        assert alive[json.loads((published / model_id / "link.json").read_text())["access_token"]] == model_id
    index = (published / "index.html").read_text()
    assert all(model_id in index for model_id in MANY)
    with sqlite3.connect(home.path / "airflow.db") as metadata:
        kept = metadata.execute("SELECT task_id, map_index, value FROM xcom WHERE key = 'return_value'").fetchall()
    parts = {index for task, index, _ in kept if task == "mint_intranet"}
    assert parts == {0, 1}
    (listed,) = (json.loads(value) for task, _, value in kept if task == "list_intranet")
    assert [part["models"] for part in listed] == [550, 550]
    assert len(json.dumps(listed)) < 400
