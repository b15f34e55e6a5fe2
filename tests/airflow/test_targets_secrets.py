"""Whatever goes wrong at a target, no token in clear comes to rest: logs, XCom, rendered fields, exceptions, the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.server import serving_app
from pme_airflow.dev.playground.channel import Channel, create_channel_app
from pme_airflow.dev.playground.home import environment
from tests.conftest import MODELS, SECRET
from tests.support.cms import serving_cms
from tests.support.home import ROOT, leaks
from tests.support.live import DrivenAirflow
from tests.support.nights import RATES
from tests.support.places import bucket_server
from tests.support.proxy import Proxy, serving_proxy

#: A target of a careless author: it logs what it shows, and fails with the link in its words.
CARELESS = """
import logging
from pme_airflow.targets import Target

{mutant}

class Careless(Target):
    name = "{name}"

    def put(self, slot, link, previous):
        logging.getLogger("careless").warning("showing %s", link.url.reveal())
        print("and printing", link.token.reveal())
        raise ValueError("cannot show " + link.url.reveal())

    def read_back(self, slot, link, details):
        pass
"""
UNMASKED = "import pme_airflow.hooks.pme\npme_airflow.hooks.pme._masks.add = lambda opened: None"

BROKEN, MASKED, LAID_BARE = list(MODELS)[:3], list(MODELS)[3], list(MODELS)[4]
PLACEMENTS = """
- audience: broken
  models: [{models}]
  targets:
    - {{kind: slack, channel: '#tours', slack_conn_id: chat}}
    - {{kind: wordpress, wordpress_conn_id: cms, pages: {{{pages}}}}}
    - {{kind: object_storage, path: 's3://aws_default@tours/out'}}
    - {{kind: object_storage, path: 'file://{home}/published'}}
    - {{kind: http, http_conn_id: cms, method: PUT, endpoint: 'spaces/{{model_id}}', json: {{url: '{{link}}'}},
       read_endpoint: 'spaces/{{model_id}}'}}
- audience: masked
  models: [{masked}]
  targets: [{{kind: custom, class: careless.Careless}}]
- audience: laid-bare
  models: [{laid_bare}]
  targets: [{{kind: custom, class: unmasked.Careless}}]
"""


@pytest.fixture
def proxies() -> Iterator[tuple[Proxy, Proxy, Proxy]]:
    """Ways to a Slack, a CMS and a bucket on which one request in two breaks."""
    with ExitStack() as stack:
        slack = stack.enter_context(serving_app(lambda _: create_channel_app(Channel())))
        cms = stack.enter_context(serving_cms()).address
        s3, client = stack.enter_context(bucket_server())
        client.create_bucket(Bucket="tours")
        made = [stack.enter_context(serving_proxy(address, seed)) for seed, address in enumerate((slack, cms, s3))]
        for proxy in made:
            proxy.rates = {fault: rate * 2 for fault, rate in RATES.items()}
        yield made[0], made[1], made[2]


def home(path: Path, address: str, proxies: tuple[Proxy, Proxy, Proxy]) -> dict[str, str]:
    """An Airflow home with a nightly DAG that waits a second instead of a minute between the tries of a task."""
    to_slack, to_cms, to_s3 = proxies
    pages = ", ".join(f"{model}: {number}" for number, model in enumerate(BROKEN, 1))
    text = PLACEMENTS.format(models=", ".join(BROKEN), pages=pages, home=path, masked=MASKED, laid_bare=LAID_BARE)
    dags = path / "impatient"
    dags.mkdir(parents=True)
    nightly = (ROOT / "dags" / "pme_nightly_rotation.py").read_text()
    assert "timedelta(minutes=1)" in nightly
    (dags / "pme_nightly_rotation.py").write_text(nightly.replace("timedelta(minutes=1)", "timedelta(seconds=1)"))
    (dags / "careless.py").write_text(CARELESS.format(mutant="", name="careless"))
    (dags / "unmasked.py").write_text(CARELESS.format(mutant=UNMASKED, name="unmasked"))
    connections = {
        "PME_DEFAULT": {"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": address},
        "CHAT": {"conn_type": "slack", "password": "xoxb-test", "extra": {"base_url": f"{to_slack.address}/api/"}},
        "CMS": {"conn_type": "http", "host": to_cms.address, "login": "editor", "password": "a-password"},
        "AWS_DEFAULT": {
            "conn_type": "aws", "login": "key", "password": "not-a-secret",
            "extra": {"endpoint_url": to_s3.address, "region_name": "us-east-1"},
        },
    }  # fmt: skip
    return environment(
        path, address, text, AIRFLOW__CORE__DAGS_FOLDER=str(dags), PYTHONPATH=str(dags),
        AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
        **{f"AIRFLOW_CONN_{name}": json.dumps(fields) for name, fields in connections.items()},
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_no_token_lies_anywhere_when_every_target_breaks(
    address: str, world: World, proxies: tuple[Proxy, Proxy, Proxy], tmp_path: Path
) -> None:
    path = tmp_path / "home"
    with DrivenAirflow(path, home(path, address, proxies)) as live:
        live.wait_until_parsed("pme_nightly_rotation")
        run = live.trigger("pme_nightly_rotation")
        assert live.wait_for("pme_nightly_rotation", run, 400) == "failed"
    assert all(sum(proxy.struck.values()) > 0 for proxy in proxies)
    rest = {
        file: file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and not file.is_relative_to(path / "published")
    }
    logs = "".join(content.decode("utf-8", "replace") for file, content in rest.items() if file.suffix == ".log")
    assert logs.count("showing") >= 2
    assert "is not shown" in logs
    of = {token: issued.model_id for token, issued in world.tokens.items()}
    ours = [token for token, model_id in of.items() if model_id in BROKEN]
    assert leaks(rest, [*ours, *world.applications, SECRET]) == []
    # Airflow masks a task's log, but not the copy of it on the worker's standard output (docs/how-to/write-a-target.md says so).
    masked = [token for token, model_id in of.items() if model_id == MASKED]
    assert leaks({file: rest[file] for file in rest if file.name != "scheduler.log"}, masked) == []
    bare = [token for token, model_id in of.items() if model_id == LAID_BARE]
    assert leaks(rest, bare) != [], "without masking it is not seen: is it looked for where it would lie?"
