"""What a response says about a mint or a revocation: the table of what is known of the API, row by row."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pme_airflow.api.judge import judge_mint, judge_revoke, refusal_of
from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import (
    HttpResponse,
    Made,
    NoResponse,
    NotMade,
    NotRevoked,
    RefusalKind,
    Revoked,
    Unknown,
)
from pme_airflow.durations import Validity

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
ASKED = {"a0": MintRequest("yyHDFKzPzvN", Validity(600)), "a1": MintRequest("SxQL3iGyoDo", Validity(600))}
LINK = {
    "accessToken": "t" * 25,
    "application": "showcase",
    "link": "https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+" + "t" * 25,
    "validUntil": "2026-05-01T12:10:00Z",
}


def response(body: Any, status: int = 200, **headers: str) -> HttpResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, {"Date": "Fri, 01 May 2026 12:00:00 GMT", **headers}, raw)


def verdicts_of(exchange: HttpResponse | NoResponse) -> dict[str, str]:
    """For each alias: ``made``, ``not`` or ``maybe``."""
    refusal = refusal_of(exchange, len(ASKED))
    if refusal is not None:
        return dict.fromkeys(ASKED, "not")
    names = {Made: "made", NotMade: "not", Unknown: "maybe"}
    return {alias: names[type(verdict)] for alias, verdict in judge_mint(exchange, ASKED, NOW).items()}


ERROR_4XX = {"message": "x", "path": ["a1"], "httpStatus": 404}
ERROR_5XX = {"message": "x", "path": ["a1"], "extensions": {"httpStatus": 500}}
BARE = {"message": "x", "path": ["a1"]}


@pytest.mark.parametrize(
    ("exchange", "first", "second"),
    [
        pytest.param(NoResponse(False, "could not connect"), "not", "not", id="could not connect"),
        pytest.param(response({"error": "invalid_grant"}, 400), "not", "not", id="400 invalid_grant"),
        pytest.param(response(b"no", 401), "not", "not", id="401"),
        pytest.param(response(b"no", 403), "not", "not", id="403"),
        pytest.param(response(b"no", 415), "not", "not", id="415"),
        pytest.param(response(b"no", 429), "not", "not", id="429"),
        pytest.param(response(b"no", 503, **{"Retry-After": "3"}), "not", "not", id="503 with Retry-After"),
        pytest.param(
            response({"errors": [{"message": "x", "locations": [{"line": 1, "column": 1}]}]}, 400), "not", "not",
            id="validation error",
        ),
        pytest.param(
            response({"data": None, "errors": [{"message": "x", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]}),
            "not", "not", id="validation error with 200 and data null",
        ),
        pytest.param(
            response({"errors": [{"message": "x", "httpStatus": 422}]}), "not", "not", id="4xx error, data absent"
        ),
        pytest.param(response({"data": {"a0": LINK, "a1": None}, "errors": [ERROR_4XX]}), "made", "not", id="alias 4xx"),
        pytest.param(response({"data": {"a0": LINK}, "errors": [ERROR_4XX]}), "made", "not", id="alias 4xx, null dropped"),
        pytest.param(
            response({"data": {"a0": LINK, "a1": None}, "errors": [{"path": ["a1"], "code": "model.inactive"}]}),
            "made", "not", id="alias with a code of the 4xx kind",
        ),
        pytest.param(response({"data": {"a0": LINK, "a1": LINK}, "errors": [BARE]}), "made", "made", id="error with a link"),
        pytest.param(
            response({"data": {"a0": {"accessToken": "t" * 25, "link": None, "validUntil": None}, "a1": LINK}}),
            "made", "made", id="link and validUntil null",
        ),
        pytest.param(response({"data": {"a0": LINK}}, 500), "made", "maybe", id="made whatever the status"),
        pytest.param(
            response({"data": {"a0": LINK}}, 429), "made", "maybe", id="made although the status asks for patience"
        ),
        pytest.param(NoResponse(True, "timed out"), "maybe", "maybe", id="time-out after the request was written"),
        pytest.param(response(b"<html>", 500), "maybe", "maybe", id="500"),
        pytest.param(response(b"<html>", 502), "maybe", "maybe", id="502"),
        pytest.param(response(b"<html>", 504), "maybe", "maybe", id="504"),
        pytest.param(response(b"<html>", 503), "maybe", "maybe", id="503 without Retry-After"),
        pytest.param(response(b"<html>"), "maybe", "maybe", id="a body that is no JSON"),
        pytest.param(response({"data": None}), "maybe", "maybe", id="data null and no error"),
        pytest.param(response({"data": None, "errors": [{"message": "x"}]}), "maybe", "maybe", id="an error of no kind"),
        pytest.param(response({"data": {"a0": LINK, "a1": None}}), "made", "maybe", id="alias null without an error"),
        pytest.param(response({"data": {"a0": LINK, "a1": None}, "errors": [ERROR_5XX]}), "made", "maybe", id="alias 5xx"),
        pytest.param(response({"data": {"a0": LINK, "a1": None}, "errors": [BARE]}), "made", "maybe", id="alias, no kind"),
        pytest.param(
            response({"data": {"a0": LINK, "a1": None}, "errors": [ERROR_4XX, ERROR_5XX]}), "made", "maybe",
            id="a failing sub-field can hide a made token",
        ),
        pytest.param(response([]), "maybe", "maybe", id="JSON of another shape"),
    ],
)  # fmt: skip
def test_each_alias_is_judged_on_its_own(exchange: HttpResponse | NoResponse, first: str, second: str) -> None:
    assert verdicts_of(exchange) == {"a0": first, "a1": second}


def test_a_body_cut_off_after_the_token_gives_the_token() -> None:
    whole = json.dumps({"data": {"a0": LINK, "a1": {**LINK, "accessToken": "u" * 25}}}).encode()
    for cut in range(len(whole)):
        verdicts = judge_mint(HttpResponse(200, {}, whole[:cut], complete=False), ASKED, NOW)
        for alias, token in (("a0", "t" * 25), ("a1", "u" * 25)):
            verdict = verdicts[alias]
            closed = f'"{token}"'.encode() in whole[:cut]
            assert isinstance(verdict, Made) is closed, (cut, alias)
            if isinstance(verdict, Made):
                assert verdict.link.access_token.reveal() == token


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2026-05-01T12:10:00Z", NOW + timedelta(minutes=10)),
        ("2026-05-01T14:10:00+02:00", NOW + timedelta(minutes=10)),
        ("2026-05-01T12:10:00.250Z", NOW + timedelta(minutes=10, milliseconds=250)),
        ("2026-05-01T12:10:00", NOW + timedelta(minutes=10)),
        ("soon", NOW + timedelta(minutes=10)),
        (None, NOW + timedelta(minutes=10)),
        (17, NOW + timedelta(minutes=10)),
    ],
)
def test_valid_until_is_read_in_any_form_and_computed_where_unreadable(text: object, timestamp: datetime) -> None:
    verdict = judge_mint(response({"data": {"a0": {**LINK, "validUntil": text}}}), {"a0": ASKED["a0"]}, NOW)["a0"]
    assert isinstance(verdict, Made)
    assert verdict.link.valid_until == timestamp


@pytest.mark.parametrize(
    ("body", "confirmed"),
    [
        ({"data": {"a0": True}}, True),
        ({"data": {"a0": False}}, False),
        ({"data": {"a0": "true"}}, False),
        ({"data": {"a0": 1}}, False),
        ({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 404}]}, False),
        ({"data": None}, False),
        ({}, False),
    ],
)
def test_only_true_is_a_revocation(body: Any, confirmed: bool) -> None:
    verdict = judge_revoke(response(body), ["a0"])["a0"]
    assert isinstance(verdict, Revoked if confirmed else NotRevoked)


@pytest.mark.parametrize("extensions", [True, False])
def test_an_unknown_field_asks_for_the_other_mutation_names(extensions: bool) -> None:
    error: dict[str, Any] = {"message": "Cannot query field 'createPrivateModelEmbedLink' on type 'Mutation'"}
    place = {"code": "GRAPHQL_VALIDATION_FAILED"}
    error |= {"extensions": place} if extensions else place
    refusal = refusal_of(response({"errors": [error]}, 400), 2)
    assert refusal is not None
    assert refusal.kind is RefusalKind.OTHER_MUTATION_NAMES


def test_no_error_repeats_what_the_server_verdicts_of() -> None:
    body = {"errors": [{"message": 'bad secret "hunter2hunter2"', "httpStatus": 400}]}
    refusal = refusal_of(response(body, 400), 2)
    assert refusal is not None
    assert "hunter2" not in str(refusal.error)
    assert "hunter2" not in repr(response(body))
