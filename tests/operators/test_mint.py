"""The mint operator returns sealed items, and fails for a bad model after pushing the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle.mint_result import MintFailure, MintResult
from pme_airflow.operators import mint
from pme_airflow.operators.pme import PMEMintLinksOperator, PMEModelLink
from tests.conftest import MODELS
from tests.support.tasks import FakeTask

MANY = list(MODELS)
FIELDS = {"link_id", "model_id", "audience", "fingerprint", "valid_until", "application", "link"}


def operator(**arguments: Any) -> PMEMintLinksOperator:
    return PMEMintLinksOperator(task_id="mint", **{"models": MANY[:2], **arguments})


def test_items_are_sealed_and_counted(world: World, task: FakeTask, metrics: dict[str, float]) -> None:
    items = operator(audience="intranet").execute(task.context())
    assert [set(item) for item in items] == [FIELDS, FIELDS]
    assert [item["model_id"] for item in items] == MANY[:2]
    assert {item["audience"] for item in items} == {"intranet"}
    assert not any(token in str(items) for token in world.tokens)
    assert metrics == {"pme.minted": 2}
    assert task.xcoms == {}


def test_a_retry_of_the_same_task_mints_nothing(world: World, task: FakeTask) -> None:
    first = operator().execute(task.context())
    assert operator().execute(task.context()) == first
    assert operator().execute(FakeTask(run_id="another").context()) != first
    assert len(world.tokens) == 4


def test_renew_before_reuses_what_has_enough_left(world: World, task: FakeTask) -> None:
    first = operator().execute(task.context())
    later = operator(renew_before="12h").execute(FakeTask(run_id="another").context())
    assert [item["link_id"] for item in later] == [item["link_id"] for item in first]


def test_a_bad_model_fails_the_task_for_good_after_the_others_are_pushed(
    world: World, task: FakeTask, metrics: dict[str, float]
) -> None:
    with pytest.raises(AirflowFailException, match=r"1 of 3 models have no link: NoSuchModel: ") as caught:
        operator(models=[*MANY[:2], "NoSuchModel"]).execute(task.context())
    assert [item["model_id"] for item in task.xcoms["return_value"]] == MANY[:2]
    assert metrics == {"pme.minted": 2, "pme.mint_failures": 1}
    assert not any(token in str(caught.value) for token in world.tokens)


def test_without_any_link_nothing_is_pushed(task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match="1 of 1 models"):
        operator(models=["NoSuchModel"]).execute(task.context())
    assert task.xcoms == {}


def test_a_failure_that_may_pass_is_tried_again() -> None:
    passing = MintResult(failures=[MintFailure("a", "busy", False), MintFailure("b", "refused", True)])
    assert type(mint._failure(passing)) is AirflowException
    lasting = MintResult(failures=[MintFailure(f"m{n}", "refused", True) for n in range(22)])
    error = mint._failure(lasting)
    assert type(error) is AirflowFailException
    assert "22 of 22 models" in str(error)
    assert "m19: refused; and 2 more" in str(error)
    assert "m20" not in str(error)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"models": []}, "models"),
        ({"models": ["short"]}, "models"),
        ({"models": [MANY[0], 42]}, "models"),
        ({"models": {"query": ""}}, "models"),
        ({"valid_for": "25h"}, "valid_for"),
        ({"valid_for": "0s"}, "valid_for"),
        ({"valid_for": "3 fortnights"}, "valid_for"),
        ({"valid_for": "2h", "renew_before": "2h"}, "renew_before"),
        ({"valid_for": timedelta(hours=2), "renew_before": timedelta(hours=3)}, "renew_before"),
        ({"audience": "a b"}, "audience"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_request(arguments: Any, named: str, world: World) -> None:
    with pytest.raises(AirflowFailException, match=named):
        operator(**arguments).execute({})
    assert world.counts == {}


@pytest.mark.parametrize("host", ["http://api.example.test", "ftp://127.0.0.1", "https://a:b@api.example.test"])
def test_an_address_that_would_leak_the_secret_is_refused(host: str, connect: Callable[..., None]) -> None:
    connect(host=host)
    with pytest.raises(AirflowFailException, match="API address"):
        operator().execute({})


def test_the_link_of_the_task_leads_to_its_model_without_a_token(world: World) -> None:
    one = operator(models=MANY[:1])
    assert PMEModelLink().get_link(one, ti_key=None) == "https://my.matterport.com/models/"
    one.execute({})
    page = PMEModelLink().get_link(one, ti_key=None)
    assert page.endswith(f"/models/{MANY[0]}")
    two = operator()
    two.execute({})
    assert PMEModelLink().get_link(two, ti_key=None).endswith("/models/")
    assert PMEModelLink().get_link(SimpleNamespace(), ti_key=None) == "https://my.matterport.com/models/"
    host = "https://api.matterport.com"
    assert mint._model_page(host, MintResult(items=[{"model_id": "x"}])) == "https://my.matterport.com/models/x"


def test_the_items_open(world: World, task: FakeTask) -> None:
    (item,) = operator(models=MANY[:1]).execute(task.context())
    (issued,) = world.alive()
    assert PMEHook().open(item).endswith(f"auth=Bearer+{issued.token}")


def test_models_share_a_token_where_that_is_asked_for(
    world: World, address: str, task: FakeTask, metrics: dict[str, float]
) -> None:
    requests.post(f"{address}/_emulator/control", json={"shared_tokens": True}, timeout=10).raise_for_status()
    items = operator(models=MANY[:5], models_per_token="3").execute(task.context())
    assert [set(item) for item in items] == [FIELDS] * 5
    assert len({item["fingerprint"] for item in items}) == world.counts["minted"] == 2
    for item in items:
        url = PMEHook().open(item)
        assert f"m={item['model_id']}&" in url
        PMEHook().record_publication(item, "own", item["model_id"])
    assert metrics == {"pme.minted": 5}
    with pytest.raises(AirflowFailException, match="models_per_token"):
        operator(models_per_token=1000).execute(task.context())
