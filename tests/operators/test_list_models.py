"""The operator that lists models returns batches for mapped tasks."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle import xcom_payload
from pme_airflow.operators.pme import PMEListModelsOperator
from tests.conftest import MODELS, SECRET
from tests.support.tasks import FakeTask


def operator(models: Any) -> PMEListModelsOperator:
    return PMEListModelsOperator(task_id="list", models=models, audience="intranet")


def test_a_small_account_is_one_batch_of_ids(task: FakeTask) -> None:
    (batch,) = operator({"query": "*"}).execute(task.context())
    assert set(batch) == set(MODELS)


def test_ids_are_taken_as_they_are(world: World, task: FakeTask) -> None:
    assert operator(list(MODELS)[:3]).execute(task.context()) == [list(MODELS)[:3]]
    assert world.counts == {}


def test_a_query_without_a_model_and_refused_credentials_fail_for_good(world: World, connect: Any) -> None:
    world.models.clear()
    with pytest.raises(AirflowFailException, match="query"):
        operator({"query": "*"}).execute({})
    connect(password="another secret of some length")
    with pytest.raises(AirflowFailException, match="refused the client id or secret"):
        operator({"query": "*"}).execute({})


class TestManyModels:
    @pytest.fixture
    def world(self) -> World:
        many = {f"Model{index:06d}": f"Space {index}" for index in range(2500)}
        return World(Settings(client_secret=SECRET, models=many))

    def test_are_batches_by_reference(self, world: World, task: FakeTask) -> None:
        batches = operator({"query": "*"}).execute(task.context())
        assert len(batches) == 3
        assert {key for batch in batches for key in batch} == {"manifest", "models"}
        database = PMEHook().database
        found = [model for batch in batches for model in xcom_payload.models_in(database, batch)]
        assert sorted(found) == sorted(world.models)
