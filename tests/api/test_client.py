from __future__ import annotations

import json
import logging
import socket
from typing import Any
from unittest import mock

import pytest
import requests
import requests_mock as mocking

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.dialect import DialectMemory, MutationNames
from pme_airflow.api.messages import MintRequest, Model
from pme_airflow.api.outcomes import HttpResponse, Made, NotMade, NotRevoked, Revoked, Unknown
from pme_airflow.api.token_probe import Liveness, ProbeMethod
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.errors import (
    PMEInputError,
    PMENotEnabledError,
    PMEProtocolError,
    PMEUnreachableError,
)
from pme_airflow.secrets import AccessToken, SecretStr
from tests.api.scripted import GRAPH, HOST, TEN_MINUTES, TOKEN, made, requests_for
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock

# ------------------------------------------------------------- against the emulator


def test_links_are_minted_listed_and_revoked(client: PMEClient, world: World) -> None:
    verdicts = client.mint(requests_for(12))
    made = [verdict.link for verdict in verdicts if isinstance(verdict, Made)]
    assert [one.model_id for one in made] == list(MODELS)[:12]
    assert {one.access_token.reveal() for one in made} == set(world.tokens)
    assert all(isinstance(v, Revoked) for v in client.revoke([one.access_token for one in made]))
    assert world.alive() == []
    assert [model.model_id for model in client.models()] == list(MODELS)


def test_every_page_of_models_is_read(world: World, client: PMEClient) -> None:
    world.models.update(
        {f"Extra{i:06d}": {"name": "x", "state": "active", "visibility": "private"} for i in range(777)}
    )
    assert len(list(client.models())) == len(MODELS) + 777


HOSTILE_IDS = ["../../escaped", "javascript:alert(1)", "a" * 12, "a" * 10, "Model00000\n", "Model00000\u0661", "", None, 5,
               "K7aqznhw3gtdmfxb52vy9mcde", "<b>Model000", "\x1b[31mModel", ["Model000000"], {"id": "Model000000"}]  # fmt: skip


def listing(*models: Any) -> dict[str, Any]:
    return {"json": {"data": {"models": {"results": list(models), "nextOffset": None}}}}


def test_listed_ids_that_are_no_model_ids_are_skipped_and_counted(
    scripted: PMEClient, api: mocking.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"id": "Model000000", "name": "Harbour\x1b[2J\nLoft", "state": "active\u202e"}
    api.post(GRAPH, **listing(*({"id": hostile, "name": "x"} for hostile in HOSTILE_IDS), good, "text", None))
    assert list(scripted.models()) == [Model("Model000000", "Harbour [2J Loft", "active")]
    (record,) = caplog.records
    assert f"listed {len(HOSTILE_IDS) + 2} models" in record.getMessage()
    assert "in place of the first is 13 characters of text" in record.getMessage()


@pytest.mark.parametrize(
    "hostile", ["\x1b[31m\nforged line", "x" * 5000, "\u202eabc", "Bearer k3f9s8d7q2m4x6z1b5n0c8v7y"]
)
def test_a_skipped_id_is_in_no_log_line(
    scripted: PMEClient, api: mocking.Mocker, caplog: pytest.LogCaptureFixture, hostile: str
) -> None:
    api.post(GRAPH, **listing({"id": hostile}))
    assert list(scripted.models()) == []
    message = caplog.records[0].getMessage()
    assert hostile not in message
    assert message.isprintable()
    assert len(message) < 200


def test_a_list_of_good_ids_logs_nothing(
    scripted: PMEClient, api: mocking.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    api.post(GRAPH, **listing({"id": "Model000000"}))
    assert list(scripted.models()) == [Model("Model000000", "", "")]
    assert caplog.records == []


def test_names_are_cleaned_and_those_that_cannot_be_had_are_left_out(scripted: PMEClient, api: mocking.Mocker) -> None:
    data = {"a0": {"name": "one\x1b\ntwo"}, "a1": None, "a2": {"name": 5}, "a3": {"name": " \n"}}
    api.post(GRAPH, json={"data": data})
    assert scripted.model_names(list(MODELS)[:4]) == {"Model000000": "one two"}


def test_names_are_requested_within_the_clients_own_limits(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"a0": {"name": "one"}}})
    with mock.patch.object(scripted.limiter, "start", wraps=scripted.limiter.start) as start:
        scripted.model_names(list(MODELS)[:1])
    assert start.call_count == 2


def test_names_of_an_api_that_is_away_cost_five_seconds_and_no_error(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock
) -> None:
    for broken in ({"status_code": 502}, {"status_code": 503, "headers": {"Retry-After": "1"}},
                   {"exc": requests.exceptions.ConnectTimeout}):  # fmt: skip
        before = clock.slept
        api.post(GRAPH, **broken)
        assert scripted.model_names([f"M{index:010d}" for index in range(500)]) == {}
        assert clock.slept - before <= 5 + 1  # and the pause that Retry-After asks of every request


@pytest.mark.parametrize(("seconds", "timeout"), [(3.0, 3.0), (30.0, 10.0)])
def test_a_client_with_a_deadline_waits_no_longer_for_one_response(seconds: float, timeout: float) -> None:
    with PMEClient("id", SecretStr("secret"), "https://api.test", ClientSettings(timeout=10.0)) as client:
        hurried = client.with_deadline(seconds)
        assert (hurried.settings.timeout, hurried.settings.deadline) == (timeout, seconds)
        assert hurried.limiter is client.limiter
        hurried.close()


def test_a_client_with_a_deadline_repeats_what_had_no_effect_until_then(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock
) -> None:
    busy = {"status_code": 503, "headers": {"Retry-After": "2"}}
    api.post(GRAPH, [busy, made()])
    with scripted.with_deadline(10.0) as brief:
        assert isinstance(brief.mint(requests_for(1))[0], Made)
        clock.advance(9.0)
        api.post(GRAPH, [busy, made()])
        assert isinstance(brief.mint(requests_for(1))[0], NotMade)


def test_names_are_requested_for_five_seconds_and_none_once_they_are_over(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, json={"data": {"a0": {"name": "one"}}})
    with mock.patch.object(scripted, "with_deadline", wraps=scripted.with_deadline) as brief:
        assert scripted.model_names(["Model000000"]) == {"Model000000": "one"}
    brief.assert_called_once_with(5.0)
    sent = api.call_count
    assert scripted.model_names(["Model000000"], 0.0) == {}
    assert api.call_count == sent


def test_a_client_closes_its_connections() -> None:
    class Session(requests.Session):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    session = Session()
    with PMEClient("id", SecretStr(SECRET), HOST, session=session):
        assert session.closed == 0
    assert session.closed == 1


def test_what_a_client_learned_of_the_api_can_be_read(scripted: PMEClient, api: mocking.Mocker) -> None:
    assert (scripted.mutation_names, scripted.models_per_token, scripted.rate_limit_headers) == (None, None, {})
    api.post(GRAPH, **made("a0", "a1"), headers={"X-RateLimit-Limit": "60"})
    scripted.mint([*requests_for(1), MintRequest("Model000001", TEN_MINUTES, ("Model000001", "Model000002"))])
    assert scripted.mutation_names is MutationNames.EMBED_LINK
    assert scripted.rate_limit_headers == {"X-RateLimit-Limit": "60"}
    scripted.limit_models_per_token(20)
    assert scripted.models_per_token == 20


def test_tokens_for_several_models_confirm_no_names(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, **made())
    scripted.mint([MintRequest("Model000001", TEN_MINUTES, ("Model000001", "Model000002"))])
    assert scripted.mutation_names is None


def test_a_host_that_gives_any_response_is_reached(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.get(f"{HOST}/", status_code=404)
    exchange = scripted.reach()
    assert isinstance(exchange, HttpResponse)
    assert exchange.status == 404


def test_a_token_is_probed_in_each_way_with_its_model_and_its_own_link(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, json={"data": {"model": {"id": "Model000000"}}})
    api.get("https://my.matterport.com/show", status_code=404)
    url, token = SecretStr("https://my.matterport.com/show?m=Model000000"), AccessToken("t" * 25)
    probed = scripted.probe_each("Model000000", token, url)
    assert probed == {ProbeMethod.QUERY: Liveness.ALIVE, ProbeMethod.PAGE: Liveness.DEAD}
    query = next(request for request in api.request_history if request.url == GRAPH)
    assert query.headers["Authorization"] == f"Bearer {'t' * 25}"
    assert '"Model000000"' in json.loads(query.text)["query"]
    assert TOKEN not in [request.url for request in api.request_history]


def test_the_way_to_probe_tokens_is_kept_for_other_processes() -> None:
    class Store:
        def __init__(self) -> None:
            self.facts: dict[str, str] = {}

        def load(self) -> dict[str, str]:
            return {}

        def save(self, facts: dict[str, str]) -> None:
            self.facts.update(facts)

    store = Store()
    PMEClient("id", SecretStr(SECRET), HOST, memory=DialectMemory(store)).remember_probe(ProbeMethod.PAGE)
    assert store.facts == {"token_probe": "page"}


@pytest.mark.parametrize("status", [404, 403])
def test_a_token_refused_alone_is_a_denial_also_where_the_whole_query_fails(
    scripted: PMEClient, api: mocking.Mocker, status: int
) -> None:
    api.post(GRAPH, json={"errors": [{"message": "x", "httpStatus": status, "code": "token.not.found"}]})
    (verdict,) = scripted.revoke([AccessToken("a" * 25)])
    assert isinstance(verdict, NotRevoked)
    assert (verdict.denied, verdict.sent) == (status == 404, status == 404)


def test_a_server_that_caps_aliases_gets_one_mutation_a_request() -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, max_aliases=1))
    with serving(world) as address:
        client = PMEClient("emulator-client", SecretStr(SECRET), address)
        verdicts = client.mint(requests_for(10))
        assert all(isinstance(verdict, Made) for verdict in verdicts)
        tokens = [v.link.access_token for v in verdicts if isinstance(v, Made)]
        asked = world.counts["requests:graph"]
        assert asked == 11
        assert all(isinstance(verdict, Made) for verdict in client.mint(requests_for(4)))
        assert all(isinstance(verdict, Revoked) for verdict in client.revoke(tokens[:5]))
        assert world.counts["requests:graph"] == asked + 9
        fresh = PMEClient("emulator-client", SecretStr(SECRET), address)
        assert all(isinstance(verdict, Revoked) for verdict in fresh.revoke(tokens[5:]))
    assert world.counts["minted"] == 14


def test_a_batch_with_a_refused_model_does_not_end_batches(scripted: PMEClient, api: mocking.Mocker) -> None:
    refused = {"json": {"errors": [{"message": "x", "httpStatus": 400}]}}
    api.post(GRAPH, [refused, made(), refused, made("a0", "a1")])
    assert [type(verdict) for verdict in scripted.mint(requests_for(2))] == [Made, NotMade]
    assert scripted.takes_batches
    assert [type(verdict) for verdict in scripted.mint(requests_for(2))] == [Made, Made]


def test_a_pair_is_sent_singly_too_where_the_server_takes_no_batches(scripted: PMEClient, api: mocking.Mocker) -> None:
    refused = {"json": {"errors": [{"message": "x", "httpStatus": 400}]}}
    true = {"json": {"data": {"a0": True}}}
    api.post(GRAPH, [refused, *[made()] * 5, true, true])
    assert scripted.takes_batches
    for count in (2, 2, 1):
        assert [type(verdict) for verdict in scripted.mint(requests_for(count))] == [Made] * count
    assert not scripted.takes_batches
    verdicts = scripted.revoke([AccessToken("a" * 25), AccessToken("b" * 25)])
    assert [type(verdict) for verdict in verdicts] == [Revoked, Revoked]
    assert api.request_history[-1].text.count("a0") == 1


def test_the_servers_time_is_requested_where_no_response_gave_it(world: World, client: PMEClient) -> None:
    world.move_clock(600)
    for _ in range(2):
        assert abs((client.sync_clock() - world.now()).total_seconds()) < 2
    assert world.counts == {"requests:token": 1}


def test_a_link_is_probed_without_credentials_and_without_following_it(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.get("https://my.matterport.com/show", status_code=302, headers={"Location": "https://elsewhere.test/"})
    url = SecretStr("https://my.matterport.com/show?m=x&auth=Bearer+y")
    assert scripted.probe_link(url) == 302
    assert api.call_count == 1
    assert "Authorization" not in api.request_history[0].headers
    api.get("https://my.matterport.com/show", exc=requests.exceptions.ConnectTimeout)
    assert scripted.probe_link(url) is None


@pytest.mark.parametrize(
    ("answer", "enabled"),
    [
        ({"data": {"a0": False}}, True),
        ({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 404}]}, True),
        ({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 401}]}, False),
        ({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 403}]}, False),
        ({"data": {"a0": None}, "errors": [{"path": ["a1"], "httpStatus": 403}]}, True),
    ],
)
def test_pme_is_enabled_unless_the_revocation_of_no_token_is_forbidden(
    scripted: PMEClient, api: mocking.Mocker, answer: dict[str, Any], enabled: bool
) -> None:
    api.post(GRAPH, json=answer)
    if enabled:
        scripted.check_enabled()
    else:
        with pytest.raises(PMENotEnabledError, match="403"):
            scripted.check_enabled()
    assert json.loads(api.last_request.text)["query"].count(f'"{"0" * 25}"') == 1


def test_a_host_that_takes_no_json_is_not_called_an_organisation_without_pme(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, status_code=415)
    with pytest.raises(PMEProtocolError, match="415"):
        scripted.check_enabled()


def test_what_may_have_acted_is_not_sent_again(world: World, client: PMEClient) -> None:
    client.check_credentials()
    for fault in ("lost_after", "lost_before", "bad_gateway_after", "bad_gateway"):
        world.set_faults({fault: 1.0})
        before = world.counts.get("requests:graph", 0)
        (verdict,) = client.mint(requests_for(1))
        assert isinstance(verdict, Unknown), fault
        assert world.counts["requests:graph"] == before + 1, fault


def test_a_request_that_cannot_connect_was_not_made() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
    settings = ClientSettings(deadline=0.5)
    client = PMEClient("id", SecretStr(SECRET), host, settings)
    with pytest.raises(PMEUnreachableError, match="not reached"):
        client.mint(requests_for(1))


def test_partial_success_is_judged_alias_by_alias(world: World, client: PMEClient) -> None:
    world.models["Model000001"]["state"] = "inactive"
    verdicts = client.mint([*requests_for(3), MintRequest("NoSuchModel", TEN_MINUTES)])
    kinds = [type(verdict) for verdict in verdicts]
    assert kinds == [Made, NotMade, Made, NotMade]
    assert all(not v.resend for v in verdicts if isinstance(v, NotMade))


# ---------------------------------------------------------------- scripted answers


def test_a_list_that_does_not_end_is_an_error(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"models": {"results": [], "nextOffset": "5"}}})
    with pytest.raises(PMEProtocolError, match="offset"):
        list(scripted.models())


def test_a_host_that_is_no_pme_api_is_named_as_such(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(TOKEN, text="<html>welcome</html>")
    with pytest.raises(PMEProtocolError, match="API address"):
        scripted.check_enabled()


def test_an_organisation_without_pme_is_named_as_such(scripted: PMEClient, api: mocking.Mocker) -> None:
    unknown = {"message": "Cannot query field 'deletePrivateModelEmbedToken'", "httpStatus": 400}
    again = {"message": "Cannot query field 'deletePrivateModelAccessToken'", "httpStatus": 400}
    api.post(GRAPH, [{"json": {"errors": [unknown]}, "status_code": 400}, {"json": {"errors": [again]}}])
    with pytest.raises(PMENotEnabledError, match="enabled"):
        scripted.check_enabled()


def test_a_redirect_is_not_followed(scripted: PMEClient, api: mocking.Mocker) -> None:
    elsewhere = api.post("https://elsewhere.test/", json={})
    api.post(GRAPH, status_code=307, headers={"Location": "https://elsewhere.test/"})
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Unknown)
    assert elsewhere.call_count == 0


def test_a_revocation_answered_false_is_not_confirmed(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"a0": False, "a1": True}})
    first, second = scripted.revoke([AccessToken("a" * 25), AccessToken("b" * 25)])
    assert isinstance(first, NotRevoked)
    assert isinstance(second, Revoked)


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("login", "password", "field"),
    [
        ("", "x", "Client ID"),
        (" ", "x", "Client ID"),
        ("x", "", "Client secret"),
        ("a\ud800", "x", "Client ID"),
        ("x", "a\ud800", "Client secret"),
    ],
)
def test_credentials_that_are_missing_or_no_text_are_named(login: str, password: str, field: str) -> None:
    with pytest.raises(PMEInputError, match=field):
        PMEClient(login, SecretStr(password), HOST)


def test_no_secret_in_reprs_logs_or_tracebacks(world: World, address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = PMEClient("emulator-client", SecretStr(SECRET), address)
    (verdict,) = client.mint(requests_for(1))
    assert isinstance(verdict, Made)
    token = verdict.link.access_token.reveal()
    shown = [repr(client), repr(verdict), str(verdict.link.access_token), repr(vars(client)), caplog.text]
    world.down = True
    (lost,) = client.mint(requests_for(1))
    shown.append(repr(lost))
    for text in shown:
        assert token not in text
        assert SECRET not in text
