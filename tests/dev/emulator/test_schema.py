"""The emulator's fields: what they return, and which errors they give."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import graphql_sync

from pme_airflow.dev.emulator.schema import make_schema, root_value
from pme_airflow.dev.emulator.world import Settings, World

MODELS = {f"Model{index}": f"Space {index}" for index in range(5)}
CLIENT = 'clientId: "emulator-client", clientSecret: "secret"'


@pytest.fixture
def world() -> World:
    return World(Settings(client_secret="secret", models=MODELS))


def run(world: World, query: str, *, second: bool = False) -> tuple[Any, list[dict[str, Any]]]:
    schema = make_schema(second_spelling_only=second)
    result = graphql_sync(schema, query, root_value(world, "https://emulator.example"))
    return result.data, [{"message": error.message, **(error.extensions or {})} for error in result.errors or ()]


def create(
    model: str = "Model1", client: str = CLIENT, more: str = "", name: str = "createPrivateModelEmbedLink"
) -> str:
    return (
        f'mutation {{ made: {name}(modelId: "{model}", {client}{more}) {{ accessToken application link validUntil }} }}'
    )


@pytest.mark.parametrize("name", ["createPrivateModelEmbedLink", "createPrivateModelAccessLink"])
def test_a_link_is_minted_under_both_names(world: World, name: str) -> None:
    data, errors = run(world, create(name=name, more=', validFor: "30s"'))
    (issued,) = world.alive()
    assert not errors
    assert data["made"] == {
        "accessToken": issued.token, "application": "showcase",
        "link": f"https://emulator.example/show?m=Model1&auth=Bearer+{issued.token}",
        "validUntil": issued.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    assert (issued.valid_until - issued.issued_at).total_seconds() == 30


def test_a_link_is_valid_for_an_hour_by_default(world: World) -> None:
    run(world, create())
    (issued,) = world.alive()
    assert (issued.valid_until - issued.issued_at).total_seconds() == 3600


def test_an_emulator_of_the_second_spelling_knows_no_other(world: World) -> None:
    data, errors = run(world, create(), second=True)
    assert data is None
    assert "createPrivateModelEmbedLink" in errors[0]["message"]
    assert not run(world, create(name="createPrivateModelAccessLink"), second=True)[1]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        (create(client='clientId: "x", clientSecret: "secret"'), 401, "request.unauthorized"),
        (create(client='clientId: "emulator-client", clientSecret: "x"'), 401, "request.unauthorized"),
        (create(more=', validFor: "25h"'), 400, "request.invalid"),
        (create(more=', validFor: "0s"'), 400, "request.invalid"),
        (create(more=', validFor: "soon"'), 400, "request.invalid"),
        (create(model="other"), 404, "not.found"),
        (create(model="Model4"), 400, "model.inactive"),
    ],
)
def test_a_refused_mint_makes_no_token(world: World, query: str, status: int, code: str) -> None:
    world.models["Model4"]["state"] = "inactive"
    data, errors = run(world, query)
    assert data == {"made": None}
    assert (errors[0]["httpStatus"], errors[0]["code"]) == (status, code)
    assert not world.tokens


def test_a_mint_that_is_made_but_null_leaves_a_token(world: World) -> None:
    world.set_faults({"made_but_null": 1})
    data, errors = run(world, create())
    assert (data, errors[0]["httpStatus"]) == ({"made": None}, 500)
    assert len(world.alive()) == 1


def test_a_mint_that_is_throttled_leaves_none(world: World) -> None:
    world.set_faults({"partial_null": 1})
    data, errors = run(world, create())
    assert (data, errors[0]["httpStatus"], errors[0]["code"]) == ({"made": None}, 429, "request.throttled")
    assert not world.tokens


@pytest.mark.parametrize("name", ["deletePrivateModelEmbedToken", "deletePrivateModelAccessToken"])
def test_a_token_is_revoked_under_both_names(world: World, name: str) -> None:
    token = world.issue("Model1", 60).token
    query = f'mutation {{ gone: {name}({CLIENT}, accessToken: "{token}") }}'
    world.set_faults({"lying_false": 1})
    assert run(world, query) == ({"gone": False}, [])
    assert world.alive()
    world.set_faults({})
    assert run(world, query) == ({"gone": True}, [])
    assert not world.alive()
    assert run(world, query) == ({"gone": False}, [])
    assert world.counts["deletes"] == 3


def test_a_stranger_revokes_nothing(world: World) -> None:
    token = world.issue("Model1", 60).token
    query = f'mutation {{ deletePrivateModelEmbedToken(clientId: "x", clientSecret: "y", accessToken: "{token}") }}'
    assert run(world, query)[1][0]["httpStatus"] == 401
    assert world.alive()


def test_models_are_listed_by_page(world: World) -> None:
    def page(arguments: str) -> tuple[list[str], str | None, int]:
        data, _ = run(world, f"{{ models({arguments}) {{ results {{ id name }} nextOffset totalResults }} }}")
        found = data["models"]
        return [model["id"] for model in found["results"]], found["nextOffset"], found["totalResults"]

    assert page('query: "*", pageSize: 2') == (["Model0", "Model1"], "2", 5)
    assert page('query: "*", pageSize: 2, offset: "4"') == (["Model4"], None, 5)
    assert page('query: "*", pageSize: 5') == (list(MODELS), None, 5)
    assert page('query: "SPACE 3"') == (["Model3"], None, 1)


def test_an_emulator_can_lack_fields(world: World) -> None:
    without = make_schema(without=("link", "visibility"))
    fields = {name: set(without.type_map[name].fields) for name in ("PrivateModelLink", "Model")}  # type: ignore[attr-defined]
    assert fields["PrivateModelLink"] == {"accessToken", "application", "validUntil"}
    assert fields["Model"] == {"id", "name", "state", "accessVisibility"}


def test_one_token_for_several_models_is_made_where_the_emulator_offers_it(world: World) -> None:
    def shared(*models: str) -> str:
        ids = ", ".join(f'"{model}"' for model in models)
        return (
            f"mutation {{ made: createPrivateModelEmbedToken(application: showcase, {CLIENT}, modelIds: [{ids}], "
            'validFor: "30s") { accessToken validUntil } }'
        )

    assert "createPrivateModelEmbedToken" in run(world, shared("Model1"))[1][0]["message"]
    schema = make_schema(shared_tokens=True)
    root = root_value(world, "https://emulator.example")
    for refused in (["Model1", "other"], []):
        assert graphql_sync(schema, shared(*refused), root).data == {"made": None}
    made = graphql_sync(schema, shared("Model1", "Model3"), root).data["made"]  # type: ignore[index]
    (issued,) = world.alive()
    assert made["accessToken"] == issued.token
    assert [issued.opens(f"Model{n}", world.now()) for n in range(4)] == [False, True, False, True]


def test_a_model_is_found_by_id(world: World) -> None:
    data, errors = run(
        world, '{ model(id: "Model2") { id name state visibility accessVisibility } other: model(id: "x") { id } }'
    )
    assert data["model"] == {
        "id": "Model2", "name": "Space 2", "state": "active", "visibility": "private", "accessVisibility": "private",
    }  # fmt: skip
    assert data["other"] is None
    assert errors[0]["httpStatus"] == 404
