"""What a response says about a mint or a revocation: the table of what is known of the API, row by row."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pme_airflow.api.judge import field_refusal_of, judge_mint, judge_revoke, refusal_of
from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.api.outcomes import (
    Exchange,
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
from pme_airflow.errors import (
    PMECredentialsError,
    PMEModelError,
    PMENotEnabledError,
    PMEProtocolError,
    PMESharedTokenError,
    PMEUnavailableError,
    PMEUnreachableError,
)

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
        pytest.param(response({"data": {"a0": LINK}, "errors": [ERROR_4XX]}, 499), "made", "not", id="alias 4xx of 499"),
        pytest.param(response({"data": {"a0": LINK}, "errors": [ERROR_4XX]}, 500), "made", "maybe", id="alias 4xx of 500"),
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
        pytest.param(
            response({"data": {"a0": LINK, "a1": None}, "errors": [{**ERROR_4XX, "path": ["a1", "link"]}]}),
            "made", "maybe", id="a field in the result that is refused",
        ),
        pytest.param(
            response({"data": {"a0": LINK, "a1": None}, "errors": [{"path": ["a1"], "code": "request.timeout"}]}),
            "made", "maybe", id="alias that timed out",
        ),
        pytest.param(
            response({"data": {"a0": LINK, "a1": None}, "errors": [{**ERROR_4XX, "httpStatus": 408}]}),
            "made", "maybe", id="alias that timed out by its status",
        ),
        *(
            pytest.param(
                response({"data": None, "errors": [{"locations": [{"line": 1, "column": 1}], "extensions": kind}]}),
                "maybe", "maybe", id=f"an execution that failed, without a path: {kind}",
            )
            for kind in ({"code": "INTERNAL_SERVER_ERROR"}, {"classification": "DataFetchingException"})
        ),
        *(
            pytest.param(
                response({"data": {"a0": None}, "errors": [{**ERROR_4XX, "httpStatus": 403, "path": ["a0"]}]}, status),
                "not", "maybe", id=f"alias 403 of {status}",
            )
            for status in (200, 403)
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


@pytest.mark.parametrize(
    ("error", "resend", "kind"),
    [
        ({"httpStatus": 429}, True, PMEUnavailableError),
        ({"httpStatus": 400}, True, PMEModelError),
        ({"httpStatus": 404}, False, PMEModelError),
        ({"code": "model.inactive"}, False, PMEModelError),
    ],
)
def test_a_refused_alias_is_resent_unless_it_is_about_the_model(
    error: dict[str, Any], resend: bool, kind: type
) -> None:
    body = {"data": {"a0": None}, "errors": [{"path": ["a0"], **error}]}
    verdict = judge_mint(response(body), {"a0": ASKED["a0"]}, NOW)["a0"]
    assert isinstance(verdict, NotMade)
    assert type(verdict.error) is kind
    assert verdict.resend is resend
    assert "yyHDFKzPzvN" in str(verdict.error)


@pytest.mark.parametrize(
    ("errors", "fields", "kind", "error"),
    [
        ([{"httpStatus": 400}], 1, RefusalKind.GIVE_UP, PMEProtocolError),
        ([{"httpStatus": 400}], 2, RefusalKind.SPLIT_BATCH, PMEProtocolError),
        ([{"httpStatus": 404}], 1, RefusalKind.GIVE_UP, PMEModelError),
        ([{"httpStatus": 422}], 1, RefusalKind.GIVE_UP, PMEModelError),
        ([{"httpStatus": 429}, {"httpStatus": 400}], 2, RefusalKind.RETRY_LATER, PMEUnavailableError),
        ([{"httpStatus": 400}, {"httpStatus": 401}], 2, RefusalKind.RENEW_TOKEN, PMECredentialsError),
        ([{"httpStatus": 403}], 2, RefusalKind.GIVE_UP, PMENotEnabledError),
        ([{"httpStatus": 400}, {"httpStatus": 403}], 2, RefusalKind.GIVE_UP, PMENotEnabledError),
        (
            [{"httpStatus": 400}, {"message": "createPrivateModelEmbedLink", "httpStatus": 400}],
            2,
            RefusalKind.OTHER_MUTATION_NAMES,
            PMEProtocolError,
        ),
        (
            [{"message": "createPrivateModelEmbedLink", "httpStatus": 429}],
            1,
            RefusalKind.RETRY_LATER,
            PMEUnavailableError,
        ),
    ],
)
def test_a_query_refused_whole_is_handled_by_its_errors(
    errors: list[dict[str, Any]], fields: int, kind: RefusalKind, error: type
) -> None:
    refusal = refusal_of(response({"data": None, "errors": errors}, 400), fields)
    assert refusal is not None
    assert refusal.kind is kind
    assert type(refusal.error) is error


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ({"httpStatus": 401}, "(HTTP 401)"),
        ({"httpStatus": 400}, "(status 400)"),
        ({"code": "request.invalid"}, "(code request.invalid)"),
        ({"message": "x"}, "(HTTP 400, a validation error)"),
    ],
)
def test_a_refusal_names_the_status_and_the_code(error: dict[str, Any], shown: str) -> None:
    refusal = refusal_of(response({"errors": [error]}, 400), 1)
    assert refusal is not None
    assert shown in str(refusal.error)


@pytest.mark.parametrize(("complete", "reason"), [(True, "no JSON"), (False, "cut off")])
def test_a_body_that_cannot_be_read_is_the_reason_of_an_unknown_result(complete: bool, reason: str) -> None:
    exchange = HttpResponse(502, {}, b"<html>", complete)
    reason = f"HTTP 502 with a body that is {reason}"
    assert judge_mint(exchange, {"a0": ASKED["a0"]}, NOW) == {"a0": Unknown(reason)}
    assert judge_revoke(exchange, ["a0"]) == {"a0": NotRevoked(reason)}


@pytest.mark.parametrize(("status", "refused"), [(399, False), (400, True), (499, True), (500, False)])
def test_errors_without_a_status_refuse_a_query_where_the_responses_own_is_a_clients_fault(
    status: int, refused: bool
) -> None:
    assert (refusal_of(response({"errors": [{"message": "x"}]}, status), 1) is not None) is refused


@pytest.mark.parametrize(
    ("exchange", "kind", "error", "wait"),
    [
        (response({}, 401), RefusalKind.RENEW_TOKEN, PMECredentialsError, None),
        (response({"error": "invalid_grant"}, 400), RefusalKind.RENEW_TOKEN, PMECredentialsError, None),
        (response({"error": "invalid_grant"}), RefusalKind.RENEW_TOKEN, PMECredentialsError, None),
        (response({"error": "invalid_token"}, 400), RefusalKind.RENEW_TOKEN, PMECredentialsError, None),
        (response({"errors": [{"code": "UNAUTHENTICATED"}]}), RefusalKind.RENEW_TOKEN, PMECredentialsError, None),
        (
            response({"errors": [{"extensions": {"code": "token.expired"}}]}, 400),
            RefusalKind.RENEW_TOKEN,
            PMECredentialsError,
            None,
        ),
        (response({}, 403), RefusalKind.GIVE_UP, PMENotEnabledError, None),
        (response({}, 415), RefusalKind.GIVE_UP, PMEProtocolError, None),
        (response({}, 429), RefusalKind.RETRY_LATER, PMEUnavailableError, None),
        (response({}, 429, **{"Retry-After": "7"}), RefusalKind.RETRY_LATER, PMEUnavailableError, 7.0),
        (response({}, 503, **{"Retry-After": "7"}), RefusalKind.RETRY_LATER, PMEUnavailableError, 7.0),
        (NoResponse(False, "refused"), RefusalKind.RETRY_LATER, PMEUnreachableError, None),
    ],
)
def test_a_status_that_refuses_the_request_is_handled_by_its_kind(
    exchange: Exchange, kind: RefusalKind, error: type, wait: float | None
) -> None:
    refusal = refusal_of(exchange, 1)
    assert refusal is not None
    assert (refusal.kind, type(refusal.error), refusal.retry_after) == (kind, error, wait)


@pytest.mark.parametrize(
    "exchange",
    [
        response({}, 503), response({}, 500), response({}, 404), response({"error": "other"}, 400), response({}, 402),
        response({"data": {"a0": {"x": 1}}}, 403), NoResponse(True, "reset"),
        response({"errors": [{"httpStatus": 400}]}, 500),
        response({"errors": [{"httpStatus": 400, "path": ["a0"]}, {"httpStatus": 400}]}, 400),
        response({"errors": [{"httpStatus": 400}, {"message": "x"}]}),
    ],
)  # fmt: skip
def test_a_status_that_may_have_acted_is_no_refusal(exchange: Exchange) -> None:
    assert refusal_of(exchange, 1) is None


DENIED = {"path": ["a0"], "httpStatus": 401}


def test_credentials_that_every_field_refuses_ask_for_another_token() -> None:
    body = {"data": {"a0": None, "a1": None}, "errors": [DENIED, {"path": ["a1"], "code": "UNAUTHENTICATED"}]}
    refusal = field_refusal_of(response(body))
    assert refusal is not None
    assert refusal.kind is RefusalKind.RENEW_TOKEN
    assert isinstance(refusal.error, PMECredentialsError)


@pytest.mark.parametrize(
    "exchange",
    [
        response({"data": {"a0": None, "a1": {"accessToken": "x"}}, "errors": [DENIED]}),
        response({"data": {"a0": None, "a1": None}, "errors": [DENIED]}),
        response({"data": {"a0": None}, "errors": [DENIED, {"path": ["a0"], "httpStatus": 500}]}),
        response({"data": {"a0": None}, "errors": [DENIED]}, 500),
        response({"data": {"a0": None}}),
        response({"data": {"a0": None}, "errors": [{**DENIED, "path": ["a0", "link"]}]}),
        response({"data": None, "errors": [DENIED]}),
        response({"data": {}}),
        response(None),
        NoResponse(True, "reset"),
    ],
)
def test_a_field_that_may_have_acted_is_no_refusal_of_the_request(exchange: Exchange) -> None:
    assert field_refusal_of(exchange) is None


def test_a_forbidden_model_fails_alone_whatever_the_status_of_the_response() -> None:
    """A request for one model has the status of its model."""
    forbidden = response({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 403}]}, 403)
    assert refusal_of(forbidden, 1) is None
    verdict = judge_mint(forbidden, {"a0": ASKED["a0"]}, NOW)["a0"]
    assert isinstance(verdict, NotMade)
    assert type(verdict.error) is PMEModelError
    assert not verdict.resend
    assert "If each model is refused so" in str(verdict.error)
    assert judge_revoke(forbidden, ["a0"])["a0"] == NotRevoked("refused (status 403)", denied=True)


def test_a_403_that_is_no_json_may_be_one_of_a_firewall() -> None:
    for exchange, told in ((response(b"<html>", 403), True), (response({}, 403), False)):
        refusal = refusal_of(exchange, 1)
        assert refusal is not None
        assert ("a proxy or firewall on the way may have given it" in str(refusal.error)) is told


@pytest.mark.parametrize(("status", "kind"), [(400, PMEProtocolError), (404, PMEModelError), (422, PMEModelError)])
def test_an_error_of_no_kind_has_the_status_of_the_response(status: int, kind: type) -> None:
    refusal = refusal_of(response({"errors": [{"message": "x"}]}, status), 1)
    assert refusal is not None
    assert type(refusal.error) is kind
    where = {"message": "x", "locations": [{"line": 1, "column": 1}]}
    refusal = refusal_of(response({"errors": [where]}, status), 1)
    assert refusal is not None
    assert type(refusal.error) is PMEProtocolError


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "30"}])
def test_the_pause_that_the_api_asks_for_is_kept_where_a_mint_was_refused(headers: dict[str, str]) -> None:
    busy = {"httpStatus": 429}
    alias = response({"data": {"a0": None}, "errors": [{**busy, "path": ["a0"]}]}, **headers)
    verdict = judge_mint(alias, {"a0": ASKED["a0"]}, NOW)["a0"]
    refusal = refusal_of(response({"errors": [busy]}, **headers), 1)
    assert isinstance(verdict, NotMade)
    assert refusal is not None
    assert {verdict.retry_after, refusal.retry_after} == {30.0 if headers else None}


@pytest.mark.parametrize("extensions", [True, False])
def test_an_unknown_field_asks_for_the_other_mutation_names(extensions: bool) -> None:
    error: dict[str, Any] = {"message": "Cannot query field 'createPrivateModelEmbedLink' on type 'Mutation'"}
    place = {"code": "GRAPHQL_VALIDATION_FAILED"}
    error |= {"extensions": place} if extensions else place
    refusal = refusal_of(response({"errors": [error]}, 400), 2)
    assert refusal is not None
    assert refusal.kind is RefusalKind.OTHER_MUTATION_NAMES


def test_no_error_repeats_the_servers_message() -> None:
    body = {"errors": [{"message": 'bad secret "hunter2hunter2"', "httpStatus": 400}]}
    refusal = refusal_of(response(body, 400), 2)
    assert refusal is not None
    assert "hunter2" not in str(refusal.error)
    assert "hunter2" not in repr(response(body))


def made(fields: dict[str, Any], api_base_url: str = "https://api.matterport.com") -> EmbedLink:
    body = response({"data": {"a0": {"accessToken": "t" * 25, **fields}}})
    verdict = judge_mint(body, {"a0": ASKED["a0"]}, NOW, api_base_url)["a0"]
    assert isinstance(verdict, Made)
    return verdict.link


FALLBACK = "https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+" + "t" * 25


@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://my.matterport.com/", "https://evil.example/", 5])
def test_a_link_that_is_not_the_vendors_is_built_from_the_token_and_logged_without_it(
    link: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert made({"link": link}).url.reveal() == FALLBACK
    (record,) = caplog.records
    assert "yyHDFKzPzvN" in record.getMessage()
    assert "t" * 25 not in record.getMessage()
    assert str(link) not in record.getMessage()


def test_one_response_with_many_unsafe_links_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    unsafe = {**LINK, "link": "https://evil.example/"}
    judge_mint(response({"data": {"a0": unsafe, "a1": unsafe}}), ASKED, NOW)
    (record,) = caplog.records
    assert "2 models (yyHDFKzPzvN first)" in record.getMessage()


def test_a_missing_link_is_built_and_the_vendors_is_kept_without_a_line(caplog: pytest.LogCaptureFixture) -> None:
    assert made({"link": None}).url.reveal() == made({}).url.reveal() == FALLBACK
    assert made({"link": FALLBACK + "&play=1"}).url.reveal() == FALLBACK + "&play=1"
    assert made({"link": "https://api.x.test/1"}, "https://api.x.test").url.reveal() == "https://api.x.test/1"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("until", "granted"),
    [
        ("2026-05-01T12:10:00Z", 600),
        ("2026-05-01T12:08:59Z", 539),
        ("2026-05-01T13:00:00Z", 3600),
        ("2026-05-02T12:05:00Z", 86_700),
        ("2099-01-01T00:00:00Z", 600),
        (None, 600),
        ("2026-05-01T11:00:00Z", -3600),
    ],
)
def test_what_the_api_granted_is_known_beside_what_was_requested(until: str | None, granted: int) -> None:
    link = made({"validUntil": until})
    assert link.granted == timedelta(seconds=granted)
    assert link.requested == Validity(600)


WHOLE = json.dumps({"data": {"a0": LINK}}).encode()


@pytest.mark.parametrize(
    "body",
    [b"\xef\xbb\xbf" + WHOLE, WHOLE + b"<br>Notice: x", WHOLE.replace(b'"showcase"', b'"\\ud800"')],
    ids=["byte order mark", "text behind it", "half a surrogate pair"],
)
def test_a_made_token_is_taken_out_of_an_untidy_body(body: bytes) -> None:
    verdict = judge_mint(response(body), {"a0": ASKED["a0"]}, NOW)["a0"]
    assert isinstance(verdict, Made)
    assert verdict.link.access_token.reveal() == "t" * 25
    assert verdict.link.application == "showcase"


@pytest.mark.parametrize("token", ["", " ", "a b", "\n", 5, ["t"], "t" * 3000])
def test_a_token_that_is_no_token_may_hide_a_made_one(token: object) -> None:
    assert verdicts_of(response({"data": {"a0": {"accessToken": token}, "a1": None}}))["a0"] == "maybe"


@pytest.mark.parametrize(
    ("exchange", "denied"),
    [
        (response({"data": {"a0": False}}), True),
        (response({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 404}]}), True),
        (response({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 400}]}), True),
        (response({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 401}]}), False),
        (response({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 429}]}), False),
        (response({"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 500}]}), False),
        (response({"data": {"a0": None}, "errors": [{"path": ["a0"]}]}), False),
        (response({"errors": [{"path": ["a0"], "httpStatus": 404}, {"path": ["a0"], "httpStatus": 500}]}), False),
        (response({"data": None}), False),
        (response(b"<html>", 502), False),
        (NoResponse(True, "timed out"), False),
        (NoResponse(False, "could not connect"), False),
    ],
)
def test_only_the_apis_own_refusal_of_the_token_is_a_denial(exchange: Exchange, denied: bool) -> None:
    verdict = judge_revoke(exchange, ["a0"])["a0"]
    assert isinstance(verdict, NotRevoked)
    assert verdict.denied is denied
    assert verdict.sent is (exchange.written if isinstance(exchange, NoResponse) else True)


def test_the_pause_that_the_api_asks_for_is_kept_where_a_token_was_not_revoked() -> None:
    error = {"path": ["a0"], "httpStatus": 429}
    (verdict,) = judge_revoke(response({"errors": [error]}, **{"Retry-After": "7"}), ["a0"]).values()
    assert verdict == NotRevoked("refused (status 429)", retry_after=7.0)


SEVERAL = {"a0": MintRequest("yyHDFKzPzvN", Validity(600), ("yyHDFKzPzvN", "SxQL3iGyoDo"))}
SHARED = {"accessToken": "t" * 25, "validUntil": "2026-05-01T12:10:00Z"}


@pytest.mark.parametrize(
    ("errors", "complete"),
    [
        ([], True),
        ([{"message": "x", "path": ["a0", "validUntil"], "httpStatus": 500}], True),
        ([{"message": "x", "path": ["a0", "modelIds", 1], "httpStatus": 404}], False),
        ([{"message": "x", "path": ["a0"], "httpStatus": 404}], False),
        ([{"message": "x", "path": ["a0", "accessToken"]}], False),
    ],
    ids=["none", "of another field", "of an id", "of the whole", "of the token"],
)
def test_a_token_for_several_models_that_came_with_errors_may_not_open_all(errors: list[Any], complete: bool) -> None:
    verdict = judge_mint(response({"data": {"a0": SHARED}, "errors": errors}), SEVERAL, NOW)["a0"]
    assert isinstance(verdict, Made)
    assert verdict.is_complete == complete
    assert verdict.link.url.reveal() == "https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+" + "t" * 25


def test_the_showcase_of_an_api_on_this_machine_is_there_too() -> None:
    made = judge_mint(response({"data": {"a0": SHARED}}), SEVERAL, NOW, "http://127.0.0.1:8000")["a0"]
    assert isinstance(made, Made)
    assert made.link.url.reveal().startswith("http://127.0.0.1:8000/show?m=yyHDFKzPzvN&")


@pytest.mark.parametrize(
    ("error", "kind", "resend"),
    [
        ({"httpStatus": 404}, PMEModelError, False),
        ({"httpStatus": 429}, PMEUnavailableError, True),
        ({"httpStatus": 403, "message": 'The field "createPrivateModelEmbedToken" is gone'}, PMESharedTokenError, True),
    ],
    ids=["model", "busy", "call"],
)
def test_a_refused_token_for_several_models_names_all_of_them(
    error: dict[str, Any], kind: type[Exception], resend: bool
) -> None:
    body = {"data": {"a0": None}, "errors": [{"message": "x", **error, "path": ["a0"]}]}
    verdict = judge_mint(response(body), SEVERAL, NOW)["a0"]
    assert isinstance(verdict, NotMade)
    assert (type(verdict.error), verdict.resend) == (kind, resend)
    if kind is not PMESharedTokenError:
        assert "Models yyHDFKzPzvN, SxQL3iGyoDo" in str(verdict.error)
