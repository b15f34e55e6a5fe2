"""Requests to Ghost are signed with a new token each, also where the clocks differ."""

from __future__ import annotations

import time
from types import SimpleNamespace

import jwt
import pytest
import requests

from pme_airflow.errors import PMEInputError
from pme_airflow.secrets import SecretStr
from pme_airflow.targets import http_signers
from pme_airflow.targets.http_signers import signer_of
from tests.support.web import Received, Reply, serving_web

ID, KEY = "0123456789abcdef01234567", "ab" * 32
HOUR = 3600.0


def claims_of(request: Received) -> dict[str, object]:
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Ghost"
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": ID}
    options = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, bytes.fromhex(KEY), algorithms=["HS256"], audience="/admin/", options=options)


def test_each_request_has_a_token_of_minutes() -> None:
    with serving_web() as server:
        session = requests.Session()
        session.auth = signer_of("ghost", SecretStr(f"{ID}:{KEY}"))
        session.get(server.address, timeout=5)
        claims = claims_of(server.received[0])
        assert int(str(claims["exp"])) - int(str(claims["iat"])) <= 300
        assert abs(int(str(claims["iat"])) - time.time()) < 60


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_token_is_dated_by_the_servers_clock_once_it_was_refused(
    ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_signers, "time", SimpleNamespace(time=lambda: time.time() + ahead))

    def answer(request: Received) -> Reply:
        late = abs(int(str(claims_of(request)["iat"])) - time.time()) > 300
        return Reply(401 if late else 200)

    with serving_web() as server:
        server.reply = answer
        session = requests.Session()
        session.auth = signer_of("ghost", SecretStr(f"{ID}:{KEY}"))
        assert session.post(server.address, json={"a": 1}, timeout=5).status_code == 200
        assert session.post(server.address, json={"a": 1}, timeout=5).status_code == 200
        assert len(server.received) == 3
        assert [request.body for request in server.received] == [b'{"a": 1}'] * 3


def test_a_refusal_with_the_same_clock_is_one() -> None:
    with serving_web() as server:
        server.reply = lambda request: Reply(401)
        session = requests.Session()
        session.auth = signer_of("ghost", SecretStr(f"{ID}:{KEY}"))
        assert session.get(server.address, timeout=5).status_code == 401
        assert len(server.received) == 1


@pytest.mark.parametrize("key", ["", "a-secret", f"{ID}:", f"{ID}:{KEY}00", f"{ID.upper()}:zz{KEY[2:]}"])
def test_a_key_of_another_form_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(PMEInputError, match="needs an Admin API key") as refused:
        signer_of("ghost", SecretStr(key))
    assert not key or key not in str(refused.value)


def test_an_unknown_signer_is_named() -> None:
    with pytest.raises(PMEInputError, match="the signers are ghost"):
        signer_of("aws", SecretStr("x"))


@pytest.mark.parametrize("headers", [{}, {"Date": ""}, {"Date": "yesterday"}])
def test_a_server_that_does_not_give_the_time_is_taken_to_have_this_machines(headers: dict[str, str]) -> None:
    response = requests.Response()
    response.headers.update(headers)
    assert http_signers._clock_offset(response) == 0.0
