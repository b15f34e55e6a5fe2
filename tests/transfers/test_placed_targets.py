"""The targets of placements are made outside of a task, each at its own cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.placements import check
from pme_airflow.transfers.placed_targets import placed_targets
from tests.conftest import SECRET
from tests.support.home import pme_in_environment


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> PMEHook:
    pme_in_environment(monkeypatch, tmp_path, login=world.settings.client_id, password=SECRET, host=address)
    return PMEHook()


def test_targets_are_named_as_the_ledger_has_them(
    hook: PMEHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CMS", json.dumps({"conn_type": "http", "host": "https://cms.example.test"}))
    placements = check(
        f"""
- audience: intranet
  models: [yyHDFKzPzvN]
  targets:
    - {{kind: object_storage, path: "file://{tmp_path}/out"}}
    - {{kind: http, http_conn_id: cms, endpoint: "x/{{model_id}}", json: {{url: "{{link}}"}}}}
    - {{kind: http, http_conn_id: nowhere, endpoint: "y/{{model_id}}", json: {{url: "{{link}}"}}}}
    - {{kind: custom, class: no.such.Class}}
- audience: broker
  models: {{query: "*"}}
  exclude: [SxQL3iGyoDo]
  targets: [{{kind: object_storage, path: "file://{tmp_path}/broker"}}]
- audience: other
  pme_conn_id: pme_other
  models: [yyHDFKzPzvN]
  targets: [{{kind: object_storage, path: "file://{tmp_path}/other"}}]
"""
    )
    placed = placed_targets(hook, placements)
    assert len(placed.at) == 3
    assert all(target.name == name for name, target in placed.at.items())
    intranet, broker = placed.slots
    assert (intranet.audience, intranet.models) == ("intranet", frozenset({"yyHDFKzPzvN"}))
    assert (broker.audience, broker.models, len(broker.targets)) == ("broker", None, 1)
    assert broker.exclude == {"SxQL3iGyoDo"}
    assert intranet.targets | broker.targets == set(placed.at)
    assert [problem.partition(" cannot")[0] for problem in placed.problems] == [
        "Target 2 (http) of audience intranet",
        "Target 3 (custom) of audience intranet",
    ]
