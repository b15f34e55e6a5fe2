"""The shipped leak response in a real Airflow: a raw token that a person gives lies in the run's conf alone."""

from __future__ import annotations

import sqlite3

from pme_airflow.dev.emulator import World
from tests.conftest import MODELS
from tests.support.home import ROOT, AirflowHome, leaks

RESPONSE = ROOT / "dags" / "pme_leak_response.py"
MINT = "from pme_airflow.hooks.pme import PMEHook; PMEHook().mint({models!r}, audience='intranet')"
#: The tables that hold what a person gave, as Airflow keeps it: the run's conf, also as a part of the run.
CONF = {"dag_run"}


def test_a_raw_token_is_revoked_and_lies_in_the_runs_conf_alone(home: AirflowHome, world: World) -> None:
    models = list(MODELS)[:2]
    home.run("-c", MINT.format(models=models))
    home.place(f"audience: intranet\nmodels: [{models[0]}]\ntargets: [{{kind: slack, channel: c}}]\n")
    token = next(issued.token for issued in world.alive() if issued.model_id == models[0])
    (run,) = home.run_dag(RESPONSE, tokens=[f"auth=Bearer+{token}"], reason=f"seen as {token} in a ticket")
    assert run["state"] == "success", run
    assert [issued.model_id for issued in world.alive()] == [models[1]]
    with sqlite3.connect(home.path / "airflow.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        holding = {name for name in tables if token in str(database.execute(f'SELECT * FROM "{name}"').fetchall())}
        (rendered,) = database.execute("SELECT rendered_fields FROM rendered_task_instance_fields").fetchall()
    assert holding <= CONF
    assert "in a ticket" in str(rendered)
    assert "tokens" not in str(rendered)
    assert leaks(home.everything(home.path / "airflow.db", home.path / "airflow.db-wal"), [token]) == []
