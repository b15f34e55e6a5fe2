"""The nightly DAG in a real Airflow: what is published, what the run says, and where tokens lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pme_airflow.dev.emulator import World
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.conftest import MODELS, SECRET
from tests.support.home import ROOT, AirflowHome, leaks
from tests.support.scale import scaled

RUNS = scaled(3, 20)
NIGHTLY = ROOT / "dags" / "pme_nightly_rotation.py"
UNKNOWN = "NoSuchModel"
FAULTS = {"bad_gateway": 0.05, "throttled": 0.05, "expired_token": 0.08, "partial_null": 0.3}


Read = Callable[[str], bytes]


@pytest.fixture
def s3(home: AirflowHome) -> Iterator[Read]:
    """A bucket of moto's server, and how its keys are read."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "not-a-secret", "region_name": "us-east-1"}
    bucket = boto3.client("s3", endpoint_url=address, **keys)
    bucket.create_bucket(Bucket="spaces")
    extra = json.dumps({"endpoint_url": address, "region_name": "us-east-1"})
    home.connect("aws_default", conn_type="aws", login="key", password="not-a-secret", extra=extra)
    yield lambda key: bucket.get_object(Bucket="spaces", Key=f"embeds/{key}")["Body"].read()
    server.stop()


@pytest.fixture(params=["files", "s3"])
def store(request: pytest.FixtureRequest, home: AirflowHome) -> tuple[str, Read]:
    """Where pages are published, and how they are read there."""
    if request.param == "s3":
        return "s3://aws_default@spaces/embeds", request.getfixturevalue("s3")
    folder = home.path / "published"
    return f"file://{folder}", lambda key: (folder / key).read_bytes()


def placements(path: str, models: list[str]) -> str:
    return (
        f"audience: intranet\nvalid_for: 24h\nmodels: [{', '.join(models)}]\n"
        f"targets:\n  - {{kind: object_storage, path: '{path}'}}\n"
    )


@pytest.mark.timeout(300 + 60 * RUNS)
def test_forty_of_forty_one_are_published_through_faults(
    home: AirflowHome, world: World, store: tuple[str, Read]
) -> None:
    path, read = store
    home.place(placements(path, [*MODELS, UNKNOWN]))
    world.set_faults(FAULTS)
    runs = home.run_dag(NIGHTLY, times=RUNS)
    assert [run["state"] for run in runs] == ["failed"] * RUNS
    assert {run["tasks"]["mint_intranet"] for run in runs} == {"failed"}
    rows = home.ledger()
    newest = {row["model_id"]: row for row in reversed(rows) if row["state"] == "live" and not row["retire_at"]}
    assert set(newest) == set(MODELS)
    alive = {issued.token: issued.model_id for issued in world.alive()}
    for model_id in MODELS:
        record = json.loads(read(f"{model_id}/link.json"))
        assert alive[record["access_token"]] == model_id
        assert fingerprint(AccessToken(record["access_token"])) == newest[model_id]["fingerprint"]
        assert record["access_token"].encode() in read(f"{model_id}/embed.html")
        assert model_id.encode() in read("index.html")
    assert len([row for row in rows if row["minted_at"]]) == RUNS * len(MODELS)
    known = {row["fingerprint"] for row in rows}
    assert [issued for issued in world.alive() if fingerprint(AccessToken(issued.token)) not in known] == []
    assert leaks(home.everything(home.path / "published"), [*world.tokens, SECRET]) == []


def test_the_failed_run_names_the_bad_model(home: AirflowHome) -> None:
    home.place(placements(f"file://{home.path}/published", [*list(MODELS)[:3], UNKNOWN]))
    done = home.run("-m", "airflow", "dags", "test", "pme_nightly_rotation", check=False)
    assert UNKNOWN in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_wrong_secret_costs_one_request(home: AirflowHome, world: World, address: str) -> None:
    home.connect("pme_default", conn_type="pme", login=world.settings.client_id, password="wrong" * 4, host=address)
    home.place(placements(f"file://{home.path}/published", list(MODELS)[:3]))
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
