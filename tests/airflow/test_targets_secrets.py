"""Whatever goes wrong at a target, no token in clear comes to rest: logs, XCom, rendered fields, exceptions, the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.emulator import World
from pme_airflow.emulator.server import serving_app
from pme_airflow.playground.channel import Channel, create_channel_app
from tests.conftest import MODELS, SECRET
from tests.support.cms import serving_cms
from tests.support.home import ROOT, AirflowHome, leaks
from tests.support.nights import RATES
from tests.support.places import bucket_server
from tests.support.proxy import Proxy, serving_proxy

THREE = list(MODELS)[:3]
NIGHTLY = ROOT / "dags" / "pme_nightly_rotation.py"

#: A target of a careless author: it logs what it shows, and fails with the link in its words.
CARELESS = """
import logging
from pme_airflow.rotation.publish import Target

{mutant}

class Careless(Target):
    name = "careless"

    def put(self, slot, link, previous):
        logging.getLogger("careless").warning("showing %s", link.url.reveal())
        print("and printing", link.token.reveal())
        raise ValueError("cannot show " + link.url.reveal())

    def read_back(self, slot, link, details):
        pass
"""
UNMASKED = "import pme_airflow.hooks.pme\npme_airflow.hooks.pme.mask_secret = lambda *a: None"


def place(home: AirflowHome, *targets: str) -> None:
    lines = "\n".join(f"  - {target}" for target in targets)
    home.place(f"audience: intranet\nvalid_for: 24h\nmodels: [{', '.join(THREE)}]\ntargets:\n{lines}\n")


def rest(home: AirflowHome, output: str) -> dict[Path, bytes]:
    """All that lies in the home, and all that was said."""
    return {**home.everything(home.path / "published"), Path("output"): output.encode()}


def careless(home: AirflowHome, mutant: str = "") -> str:
    (home.path / "careless.py").write_text(CARELESS.format(mutant=mutant))
    home.env["PYTHONPATH"] += f":{home.path}"
    place(home, "{kind: custom, class: careless.Careless}")
    (run,) = home.run_dag(NIGHTLY)
    assert run["state"] == "failed"
    return home.output


def test_a_careless_targets_words_are_masked(home: AirflowHome, world: World) -> None:
    output = careless(home)
    assert "showing" in output
    assert "and printing" in output
    assert leaks(rest(home, output), [*world.tokens, SECRET]) == []


def test_without_masking_that_would_be_seen(home: AirflowHome, world: World) -> None:
    assert leaks(rest(home, careless(home, UNMASKED)), [*world.tokens]) != []


@pytest.mark.timeout(600)
def test_no_token_lies_anywhere_when_every_target_breaks(home: AirflowHome, world: World) -> None:
    """Half of what is asked of each target breaks, in every way at once; debug logs are on."""
    channel = Channel()
    home.env["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "DEBUG"
    with (
        serving_app(lambda _: create_channel_app(channel)) as slack,
        serving_cms() as cms,
        bucket_server() as (s3, client),
        serving_proxy(slack, 1) as to_slack,
        serving_proxy(cms.address, 2) as to_cms,
        serving_proxy(s3, 3) as to_s3,
    ):
        client.create_bucket(Bucket="tours")
        _connect(home, to_slack, to_cms, to_s3)
        place(
            home,
            "{kind: slack, channel: '#tours', slack_conn_id: chat}",
            "{kind: wordpress, wordpress_conn_id: cms, pages: {"
            + ", ".join(f"{model}: {number}" for number, model in enumerate(THREE, 1))
            + "}}",
            "{kind: object_storage, path: 's3://aws_default@tours/out'}",
            f"{{kind: object_storage, path: 'file://{home.path}/published'}}",
            "{kind: http, http_conn_id: cms, method: PUT, endpoint: 'spaces/{model_id}', json: {url: '{link}'},"
            " read_endpoint: 'spaces/{model_id}'}",
        )
        said = ""
        for factor in (1, 6):
            for proxy in (to_slack, to_cms, to_s3):
                proxy.rates = {fault: rate * factor for fault, rate in RATES.items()}
            home.run_dag(NIGHTLY, times=2)
            said += home.output
        assert all(sum(proxy.struck.values()) > 0 for proxy in (to_slack, to_cms, to_s3))
    assert "was not shown" in said
    assert leaks(rest(home, said), [*world.tokens, *world.applications, SECRET]) == []


def _connect(home: AirflowHome, to_slack: Proxy, to_cms: Proxy, to_s3: Proxy) -> None:
    home.connect(
        "chat", conn_type="slack", password="xoxb-test", extra=json.dumps({"base_url": f"{to_slack.address}/api/"})
    )
    home.connect("cms", conn_type="http", host=to_cms.address, login="editor", password="a-password-of-the-editor")
    extra = json.dumps({"endpoint_url": to_s3.address, "region_name": "us-east-1"})
    home.connect("aws_default", conn_type="aws", login="key", password="not-a-secret", extra=extra)
