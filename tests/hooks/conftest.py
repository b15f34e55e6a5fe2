"""A whole set-up that works, in which a test plants a fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.clock import Clock
from pme_airflow.dev.emulator import World
from pme_airflow.doctor import Report
from pme_airflow.doctor.airflow import AirflowState, DagState
from pme_airflow.hooks import examination
from pme_airflow.hooks.airflow_state import SHIPPED_DAGS
from pme_airflow.hooks.examination import PARTS, Examination
from pme_airflow.hooks.pme import PMEHook
from tests.conftest import MODELS, SECRET
from tests.support.buckets import Bucket
from tests.support.cms import Cms, serving_cms
from tests.support.home import pme_in_environment
from tests.support.places import SlackPlace, slack_place

ONE, TWO = list(MODELS)[:2]
RUNNING = {"scheduler": True, "dag processor": True, "triggerer": True}


@dataclass
class SetUp:
    """A connection, its ledger, placements with four targets, and Airflow's state.

    :ivar fields: the connection's fields, to change before :meth:`report`.
    :ivar targets: the targets of the placement, as YAML mappings.
    """

    monkeypatch: pytest.MonkeyPatch
    home: Path
    world: World
    slack: SlackPlace
    cms: Cms
    bucket: Bucket
    fields: dict[str, Any]
    targets: dict[str, dict[str, Any]]
    models: list[str] = field(default_factory=lambda: [ONE, TWO])
    more: dict[str, Any] = field(default_factory=dict)
    airflow: AirflowState = field(
        default_factory=lambda: AirflowState(dict.fromkeys(SHIPPED_DAGS, DagState()), {}, RUNNING)
    )
    clock: Clock | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def hook(self) -> PMEHook:
        pme_in_environment(self.monkeypatch, self.home, **self.fields)
        return PMEHook(clock=self.clock)

    @property
    def placements_file(self) -> Path:
        return self.home.parent / "placements.yaml"

    def place(self) -> None:
        """Write the placements; JSON is YAML."""
        placement = {"audience": "intranet", "models": self.models, "targets": list(self.targets.values()), **self.more}
        self.placements_file.write_text(json.dumps(placement))

    def report(self, parts: Sequence[str] = PARTS, mint: str | None = None) -> Report:
        if not self.placements_file.exists():
            self.place()
        self.monkeypatch.setattr(examination, "airflow_state", lambda _: self.airflow)
        return Examination(self.hook(), self.placements_file).report(parts, mint)

    def connection(self, conn_id: str, **fields: Any) -> None:
        self.monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


MakeSetUp = Callable[[], SetUp]


@pytest.fixture
def setup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str, buckets: Callable[[], Bucket]
) -> Iterator[SetUp]:
    """A set-up in which nothing is wrong."""
    bucket = buckets()
    with slack_place() as slack, serving_cms() as cms, ExitStack() as stack:
        cms.items = {f"/items/{model}": {"tour_url": None} for model in (ONE, TWO)}
        targets: dict[str, dict[str, Any]] = {
            "files": {"kind": "object_storage", "path": f"file://{tmp_path}/out/deep"},
            "bucket": {"kind": "object_storage", "path": f"{bucket.url}/tours"},
            "slack": {"kind": "slack", "channel": "#tours", "slack_conn_id": "slack_here"},
            "http": {
                "kind": "http", "http_conn_id": "cms_here", "endpoint": "items/{model_id}",
                "read_endpoint": "items/{model_id}", "json": {"tour_url": "{link}"},
            },
        }  # fmt: skip
        made = SetUp(
            monkeypatch, tmp_path / "home", world, slack, cms, bucket,
            {"login": world.settings.client_id, "password": SECRET, "host": address}, targets, stack=stack,
        )  # fmt: skip
        made.home.mkdir()
        slack_extra = {"base_url": f"{slack.proxy.address}/api/"}
        made.connection("slack_here", conn_type="slack", password="xoxb-test-1", extra=slack_extra)
        made.connection("cms_here", conn_type="http", host=cms.address)
        yield made
