"""The emulator over HTTP: the token endpoint, the graph endpoint with its faults, the pages, and the control path."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.emulator.world import Settings

SETTINGS = {"client_secret": "secret", "models": {"ModelA": "A <b>", "ModelB": "B"}}
MINT = 'mutation { made: createPrivateModelEmbedLink(modelId: "ModelA", clientId: "emulator-client", clientSecret: "secret") {accessToken} }'
LIST = '{ models(query: "*") { totalResults nextOffset } }'


class Api:
    """A client of an emulator."""

    def __init__(self, address: str) -> None:
        self.address = address

    def token(self, **form: str) -> requests.Response:
        fields = {"grant_type": "client_credentials", "client_id": "emulator-client", "client_secret": "secret", **form}
        return requests.post(f"{self.address}/api/oauth/token", data=fields, timeout=10)

    def graph(self, query: str = LIST, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token().json()['access_token']}"}
        return requests.post(f"{self.address}/api/models/graph", json={"query": query}, headers=headers, timeout=10)

    def control(self, **wanted: Any) -> requests.Response:
        return requests.post(f"{self.address}/_emulator/control", json=wanted, timeout=10)


@pytest.fixture
def world() -> World:
    return World(Settings(**SETTINGS))


@pytest.fixture
def api(address: str) -> Api:
    return Api(address)


def test_client_credentials_buy_a_token(api: Api, world: World) -> None:
    answer = api.token().json()
    assert world.application_token_state(answer.pop("access_token")) == "valid"
    assert answer == {"token_type": "Bearer", "expires_in": 3599, "scope": "ViewPublic ViewDetails"}


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "x"}, 401, "invalid_client"),
        ({"client_id": "x"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_buy_none(api: Api, world: World, form: dict[str, str], status: int, error: str) -> None:
    answer = api.token(**form)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert not world.applications


def test_a_query_needs_a_token(api: Api, world: World) -> None:
    assert api.graph(token="other").status_code == 401
    assert api.graph().json() == {"data": {"models": {"totalResults": 2, "nextOffset": None}}}
    token, _ = world.issue_application_token()
    world.move_clock(3599)
    expired = api.graph(token=token)
    assert (expired.status_code, expired.json()) == (400, {"error": "invalid_grant"})


def test_both_media_types_of_a_query_are_taken(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.token().json()['access_token']}"}
    url = f"{api.address}/api/models/graph"
    plain = requests.post(url, LIST, headers={**headers, "Content-Type": "application/graphql"}, timeout=10)
    assert plain.json()["data"]
    assert requests.post(url, LIST, headers={**headers, "Content-Type": "text/plain"}, timeout=10).status_code == 415
    nothing = requests.post(url, "[]", headers={**headers, "Content-Type": "application/json"}, timeout=10)
    assert nothing.status_code == 400


def test_a_query_that_is_not_valid_is_refused_whole(api: Api, world: World) -> None:
    for query in ("{", "{ nothing }", MINT.replace("accessToken", "nothing")):
        answer = api.graph(query)
        assert answer.status_code == 400
        assert {(error["httpStatus"], error["code"]) for error in answer.json()["errors"]} == {
            (400, "request.unsupported")
        }
    assert not world.tokens


def test_a_failed_field_has_a_path_and_the_others_succeed(api: Api) -> None:
    answer = api.graph('{ a: model(id: "ModelA") { id } b: model(id: "x") { id } }')
    assert answer.status_code == 200
    assert answer.json()["data"] == {"a": {"id": "ModelA"}, "b": None}
    (error,) = answer.json()["errors"]
    assert (error["path"], error["httpStatus"], error["code"]) == (["b"], 404, "not.found")


def test_the_time_is_the_emulators(api: Api, world: World) -> None:
    world.move_clock(-86400)
    date = requests.get(f"{api.address}/models/ModelA", timeout=10).headers["Date"]
    assert date == world.now().strftime("%a, %d %b %Y %H:%M:%S GMT")


def test_at_most_so_many_mutations_fit_in_a_request() -> None:
    world = World(Settings(**SETTINGS, max_aliases=2))
    with serving(world) as address:
        one = MINT[MINT.index("made:") : -2]
        for count, status in ((2, 200), (3, 400)):
            query = "mutation { " + " ".join(one.replace("made:", f"m{index}:") for index in range(count)) + " }"
            assert Api(address).graph(query).status_code == status
    assert len(world.tokens) == 2


def test_nulls_are_left_out_where_the_account_turned_them_off() -> None:
    with serving(World(Settings(**SETTINGS, drop_nulls=True))) as address:
        assert Api(address).graph().json() == {"data": {"models": {"totalResults": 2}}}


def test_an_emulator_of_the_second_spelling(api: Api) -> None:
    with serving(World(Settings(**SETTINGS, second_spelling=True))) as address:
        assert Api(address).graph(MINT).status_code == 400
        second = Api(address).graph(MINT.replace("createPrivateModelEmbedLink", "createPrivateModelAccessLink"))
        assert second.json()["data"]["made"]["accessToken"]


@pytest.mark.parametrize(("fault", "minted"), [("lost_before", 0), ("lost_after", 1), ("cut_body", 1)])
def test_a_connection_breaks_before_or_after_the_effect(api: Api, world: World, fault: str, minted: int) -> None:
    token = api.token().json()["access_token"]
    world.set_faults({fault: 1})
    with pytest.raises(requests.RequestException):
        _ = api.graph(MINT, token).content
    assert len(world.tokens) == minted
    assert world.counts[f"fault:{fault}"] == 1


@pytest.mark.parametrize(
    ("fault", "status", "minted"),
    [
        ("bad_gateway", 502, 0),
        ("bad_gateway_after", 502, 1),
        ("throttled", 429, 0),
        ("throttled_date", 429, 0),
        ("expired_token", 400, 0),
    ],
)
def test_an_error_comes_before_or_after_the_effect(
    api: Api, world: World, fault: str, status: int, minted: int
) -> None:
    world.set_faults({fault: 1})
    answer = api.graph(MINT)
    assert (answer.status_code, len(world.tokens)) == (status, minted)
    if status == 502:
        assert answer.headers["Content-Type"].startswith("text/html")
    if status == 429:
        assert answer.headers["Retry-After"] == ("1" if fault == "throttled" else answer.headers["Date"])


def test_a_slow_answer_takes_as_long_as_the_settings_say() -> None:
    with serving(World(Settings(**SETTINGS, slow_seconds=0.3))) as address:
        Api(address).control(faults={"slow": 1})
        begun = time.monotonic()
        Api(address).token()
        assert time.monotonic() - begun >= 0.3


def test_a_model_has_a_page(api: Api) -> None:
    page = requests.get(f"{api.address}/models/ModelA", timeout=10)
    assert page.status_code == 200
    assert "<h1>A &lt;b&gt;</h1>" in page.text
    assert requests.get(f"{api.address}/models/other", timeout=10).status_code == 404


def test_a_link_opens_its_model_alone(api: Api, world: World) -> None:
    issued = world.issue("ModelA", 60)

    def status(path: str, model: str, auth: str, **headers: str) -> int:
        return requests.get(
            f"{api.address}/{path}", params={"m": model, "auth": auth}, headers=headers, timeout=10
        ).status_code

    assert status("show", "ModelA", f"Bearer {issued.token}") == 200
    assert status("show", "ModelB", f"Bearer {issued.token}") == 401
    assert status("show", "ModelA", issued.token) == 401
    assert status("picture", "ModelA", "", Authorization=f"Bearer {issued.token}") == 204
    world.revoke(issued.token)
    assert status("show", "ModelA", f"Bearer {issued.token}") == 401
    assert status("picture", "ModelA", "", Authorization=f"Bearer {issued.token}") == 401


def test_the_control_path_sets_faults_clock_models_and_availability(api: Api, world: World) -> None:
    world.freeze_clock(world.now())
    before = world.now()
    assert api.control(faults={"slow": 0.5}, move_clock=60, models={"New": {"name": "N"}}, down=True).json() == {
        "ok": True
    }
    assert world.faults == {"slow": 0.5}
    assert (world.now() - before).total_seconds() == 60
    assert world.models["New"] == {"name": "N", "state": "active", "visibility": "private"}
    with pytest.raises(requests.ConnectionError):
        api.graph()
    api.control(down=False)
    assert api.graph().ok


@pytest.mark.parametrize(
    "wanted", [{"faults": {"none": 1}}, {"move_clock": "x"}, {"models": {"a": 1}}, {"faults": [1]}]
)
def test_a_wrong_control_is_refused(api: Api, world: World, wanted: dict[str, Any]) -> None:
    answer = api.control(**wanted)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert not world.faults


def test_the_truth_lists_what_was_issued(api: Api, world: World) -> None:
    api.graph(MINT)
    truth = requests.get(f"{api.address}/_emulator/truth", timeout=10).json()
    assert [token["token"] for token in truth["tokens"]] == list(world.tokens)
    assert truth["counts"]["requests:graph"] == truth["counts"]["requests:token"] == 1


def test_the_schema_can_be_changed_while_it_serves(world: World) -> None:
    with serving(world) as address:
        api = Api(address)
        query = '{ models(query: "*") { results { state } } }'
        assert api.graph(query).status_code == 200
        api.control(without_fields=["state"], shared_tokens=True)
        refused = api.graph(query)
        assert refused.status_code == 400
        assert "state" in refused.json()["errors"][0]["message"]
        assert world.shared_tokens
