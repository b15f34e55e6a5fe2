"""The nightly DAG in a real Airflow: what is published, what the run says, and where tokens lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from pme_airflow.emulator import World
from tests.conftest import MODELS, SECRET
from tests.support.home import ROOT, AirflowHome, leaks, make_template

NIGHTLY = ROOT / "dags" / "pme_nightly_rotation.py"
UNKNOWN = "NoSuchModel"
FAULTS = {"bad_gateway": 0.05, "throttled": 0.05, "expired_token": 0.08, "partial_null": 0.3}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("airflow") / "home")


@pytest.fixture
def home(tmp_path: Path, template: Path, address: str, world: World) -> AirflowHome:
    made = AirflowHome(tmp_path / "home", template)
    made.connect("pme_default", conn_type="pme", login=world.settings.client_id, password=SECRET, host=address)
    return made


def placements(published: Path, models: list[str]) -> str:
    return (
        f"audience: intranet\nvalid_for: 24h\nmodels: [{', '.join(models)}]\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{published}'}}\n"
    )


@pytest.mark.timeout(900)
def test_forty_of_forty_one_are_published_through_faults_twenty_times(home: AirflowHome, world: World) -> None:
    published = home.path / "published"
    home.place(placements(published, [*MODELS, UNKNOWN]))
    world.set_faults(FAULTS)
    runs = home.run_dag(NIGHTLY, times=20)
    assert [run["state"] for run in runs] == ["failed"] * 20
    assert {run["tasks"]["mint_intranet"] for run in runs} == {"failed"}
    rows = home.ledger()
    live = {row["model_id"] for row in rows if row["state"] == "live"}
    assert live == set(MODELS)
    for model_id in MODELS:
        assert (published / model_id / "embed.html").exists()
    per_run = [row for row in rows if row["minted_at"]]
    assert len(per_run) >= 20 * len(MODELS)
    known = {row["fingerprint"] for row in rows if row["fingerprint"]}
    from pme_airflow.api.values import AccessToken
    from pme_airflow.sealing import fingerprint

    unknown_alive = [t for t in world.alive() if fingerprint(AccessToken(t.token)) not in known]
    unaccounted = [row for row in rows if row["state"] == "unaccounted"]
    assert len(unknown_alive) <= len(unaccounted)
    assert leaks(home.everything(published), [*world.tokens, SECRET]) == []


def test_the_failed_run_names_the_bad_model(home: AirflowHome) -> None:
    home.place(placements(home.path / "published", [*list(MODELS)[:3], UNKNOWN]))
    done = home.run("-m", "airflow", "dags", "test", "pme_nightly_rotation", check=False)
    assert UNKNOWN in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_wrong_secret_costs_one_request(home: AirflowHome, world: World, address: str) -> None:
    home.connect("pme_default", conn_type="pme", login=world.settings.client_id, password="wrong" * 4, host=address)
    home.place(placements(home.path / "published", list(MODELS)[:3]))
    (run,) = home.run_dag(NIGHTLY)
    assert run["state"] == "failed"
    assert world.counts == {"requests:token": 1}
    assert home.ledger() == []


def test_a_bad_placement_is_an_import_error_with_a_line_for_each_key(home: AirflowHome) -> None:
    models = "[short, yyHDFKzPzvN, yyHDFKzPzvN]"
    home.place(f"audience: a b\nvalid_for: 25h\nmodels: {models}\ntargets: [{{kind: fax}}]\nx: 1\n")
    done = home.run("-m", "tests.support.run_dag", str(NIGHTLY), "1", "/dev/null", "{}", check=False)
    for key in ("audience", "valid_for", "models[0]", "models[2]", "targets[0].kind", "x: is unknown"):
        assert key in done.stderr
