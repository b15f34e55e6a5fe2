"""The forms in which the models of a mint may come: as Python holds them, and as templates render them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle.xcom_payload import reference_to_models
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

HERE = list(MODELS)[:3]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> PMEHook:
    fields = {"login": world.settings.client_id, "password": SECRET, "host": address}
    pme_in_environment(monkeypatch, tmp_path, **fields)
    return PMEHook()


@pytest.mark.parametrize(
    "models",
    [HERE, tuple(HERE), iter(HERE), ", ".join(HERE), "\n".join(HERE), json.dumps(HERE), str(HERE)],
    ids=["list", "tuple", "iterator", "commas", "lines", "json", "python"],
)
def test_ids_are_read(hook: PMEHook, models: object) -> None:
    assert hook.list_models(models) == HERE


@pytest.mark.parametrize("form", [dict, json.dumps, str])
def test_a_reference_is_read(hook: PMEHook, form: Any) -> None:
    assert hook.list_models(form(reference_to_models(hook.database, HERE))) == HERE


@pytest.mark.parametrize("form", [dict, json.dumps, str])
def test_a_query_is_read(hook: PMEHook, form: Any) -> None:
    assert set(hook.list_models(form({"query": "*"}))) == set(MODELS)
