"""What the list of an audience's spaces is written and read with, and what becomes of each of its slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from pme_airflow.checks import Verdict
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import DocumentSlot, SlotCheck, SlotResult
from pme_airflow.targets.http_group import DEFAULT_EACH, GroupRequest, HttpGroupTarget
from pme_airflow.targets.web import WebRefusal
from tests.support.links import TOKEN_A, TOKEN_B, shown_link
from tests.support.recorded_web import Web, answer

DIGEST = fingerprint(AccessToken(TOKEN_A))


def team_page(*answers: requests.Response | Exception, **changed: Any) -> tuple[HttpGroupTarget, Web]:
    arguments: dict[str, Any] = {
        "method": "PUT", "endpoint": "pages/{audience}", "json": ["{spaces}", {"t": ("x", "{spaces}")}], "each": {"n": "{name}"},
        "headers": {"X-Team": "{audience}"}, "expected": [200], "read_endpoint": None,
    }  # fmt: skip
    target = HttpGroupTarget(
        requests.Session(), "https://cms.example", "http:t", GroupRequest(**{**arguments, **changed})
    )
    web = Web(*answers)
    target._web = web  # type: ignore[assignment]
    return target, web


def slot(model_id: str, name: str = "", token: str = TOKEN_A, **fields: Any) -> DocumentSlot:
    link = shown_link(token, f"link-{model_id}", model_id, "a", name or model_id)
    return DocumentSlot(f"PUT pages/a#{model_id}", model_id, **{"link": link, **fields})


def publication(model_id: str, audience: str = "a", **details: Any) -> Publication:
    when = datetime(2026, 11, 26, tzinfo=timezone.utc)
    return Publication(
        "key", "http:t", f"PUT pages/{audience}#{model_id}", "l", 1, model_id, audience, when, "run", details
    )


# ------------------------------------------------------------------ names


def test_slots_of_an_audience_share_a_document() -> None:
    target, _ = team_page()
    assert target.slots({"model_id": "M", "audience": "a/b"}) == ["PUT pages/a%2Fb#M"]
    assert target.document("PUT pages/a#b#M") == "PUT pages/a#b#"
    assert target.shows_names
    assert target.name == "http:t"


def test_a_response_is_waited_for_half_a_minute_unless_the_connection_says_otherwise() -> None:
    request = GroupRequest("PUT", "pages/{audience}", ["{spaces}"], DEFAULT_EACH, {}, [200], None)
    for options, seconds in (({}, 30), ({"timeout": 7.0}, 7)):
        made = HttpGroupTarget(requests.Session(), "https://cms.example", "http:t", request, **options)
        assert made._web._timeout == seconds


@pytest.mark.parametrize("body", [{}, [], "x", {"a": ["spaces", {"b": 1}]}, None])
def test_a_body_without_a_place_for_the_list_is_refused(body: Any) -> None:
    with pytest.raises(
        PMEInputError, match=r"^json: has no text \{spaces\}, in whose place the list of spaces is sent"
    ):
        team_page(json=body)


@pytest.mark.parametrize("body", ["{spaces}", [1, "{spaces}"], {"a": 1, "b": ({"c": "{spaces}"},)}])
def test_a_place_for_the_list_may_stand_anywhere(body: Any) -> None:
    team_page(json=body)


# ------------------------------------------------------------------ writing


def test_all_links_are_sent_by_name_and_model() -> None:
    target, web = team_page(answer())
    slots = [slot("M3", "beta"), slot("M2", "Alpha"), slot("M1", "beta", changed=False), slot("M0", link=None)]
    results = target.write_document("PUT pages/a#", slots)
    (sent,) = web.sent
    spaces = [{"n": name} for name in ("Alpha", "beta", "beta")]
    assert (sent.method, sent.path, sent.body) == ("PUT", "pages/a", [spaces, {"t": ["x", spaces]}])
    assert {key: sent.headers[key] for key in sent.headers if key != "Idempotency-Key"} == {"X-Team": "a"}
    assert results == {
        slots[0].slot: SlotResult({"puts": 1, "audience": "a", "fingerprint": DIGEST}),
        slots[1].slot: SlotResult({"puts": 1, "audience": "a", "fingerprint": DIGEST}),
        slots[3].slot: SlotResult(),
    }


def test_every_field_of_a_link_may_be_sent_of_each() -> None:
    link = shown_link()
    target, web = team_page(answer(), each=DEFAULT_EACH)
    target.write_document("PUT pages/a#", [slot("Model000000", link=replace(link, name=""))])
    (space,) = web.sent[0].body[0]
    assert space["link"] == link.url.reveal()
    fields = ("model_id", "audience", "link_id", "link", "access_token", "valid_until", "name")
    target, web = team_page(answer(), each=[{name: f"<{{{name}}}>" for name in fields}, 7, None])
    target.write_document("PUT pages/a#", [slot("Model000000", link=replace(link, name=""))])
    values = ("Model000000", "intranet", "link-1", link.url.reveal(), TOKEN_A, "2026-11-27T02:00:00Z", "Model000000")
    assert web.sent[0].body[0] == [[{name: f"<{value}>" for name, value in zip(fields, values, strict=True)}, 7, None]]


def keys_of(write: Callable[[HttpGroupTarget], Any]) -> str:
    target, web = team_page(answer())
    write(target)
    return str(web.sent[0].headers["Idempotency-Key"])


def test_a_list_with_other_links_or_that_is_written_again_has_another_key() -> None:
    first = keys_of(lambda target: target.write_document("PUT pages/a#", [slot("M1"), slot("M2")]))
    assert keys_of(lambda target: target.write_document("PUT pages/a#", [slot("M2"), slot("M1")])) == first
    others = [
        [slot("M1")],
        [slot("M1"), slot("M2", details={"puts": 1})],
        [slot("M1", details={"puts": 2}), slot("M2")],
    ]
    assert (
        len(
            {
                first,
                *(keys_of(lambda target, some=some: target.write_document("PUT pages/a#", some)) for some in others),
            }
        )
        == 4
    )


def test_the_highest_count_of_the_slots_goes_on() -> None:
    target, _ = team_page(answer())
    some = [slot("M1", details={"puts": 3}), slot("M2", details={"puts": 1}), slot("M3", details={"puts": "x"})]
    assert [result.details["puts"] for result in target.write_document("PUT pages/a#", some).values()] == [4, 4, 4]  # type: ignore[union-attr]


def test_a_link_that_cannot_be_shown_fails_alone_and_its_former_one_stays() -> None:
    bad = replace(shown_link(), url=SecretStr("http://my.matterport.com/x"))
    former = shown_link(TOKEN_B, "former", "M2", name="former")
    target, web = team_page(answer())
    results = target.write_document(
        "PUT pages/a#", [slot("M1", link=bad), slot("M2", link=bad, former=former), slot("M3")]
    )
    assert web.sent[0].body[0] == [{"n": "former"}, {"n": "M3"}]
    assert isinstance(results["PUT pages/a#M3"], SlotResult)
    assert str(results["PUT pages/a#M1"]).startswith("the link is not an https address; it is not shown.")
    assert "the former link stays shown until" in str(results["PUT pages/a#M2"])


def test_the_audience_is_known_when_no_link_is_left() -> None:
    target, web = team_page(answer())
    some = [slot("M1", link=None), slot("M2", link=None, details={"audience": "a"})]
    assert list(target.write_document("PUT pages/a#", some).values()) == [SlotResult(), SlotResult()]
    assert (web.sent[0].headers["X-Team"], web.sent[0].body[0]) == ("a", [])


def test_an_entry_that_is_read_where_it_is_written_is_written_only_if_nobody_edited_it() -> None:
    target, web = team_page(answer(ETag='"e1"'), answer(), read_endpoint="pages/{audience}")
    target.write_document("PUT pages/a#", [slot("M1")])
    assert [(sent.method, sent.path, sent.headers.get("If-Match")) for sent in web.sent] == [
        ("GET", "pages/a", None), ("PUT", "pages/a", '"e1"'),
    ]  # fmt: skip
    target, web = team_page(answer(), read_endpoint="public/{audience}")
    target.write_document("PUT pages/a#", [slot("M1")])
    assert [sent.method for sent in web.sent] == ["PUT"]


# ------------------------------------------------------------------ reading


def shows(*tokens: str, model_id: str = "M1") -> requests.Response:
    return answer(body=[shown_link(token, model_id=model_id).url.reveal() for token in tokens])


def test_a_list_is_read_back_once_and_each_slot_has_to_show_its_link_alone() -> None:
    target, web = team_page(shows(TOKEN_A), read_endpoint="public/{audience}")
    some = [slot("M1"), slot("M2", token=TOKEN_B), slot("M3", link=None)]
    failed = target.read_document("PUT pages/a#", some)
    assert [sent.path for sent in web.sent] == ["public/a"]
    assert {name: (str(error), error.permanent) for name, error in failed.items()} == {
        some[1].slot: ("the write was confirmed, but read_endpoint does not show the new link", False)
    }
    target, _ = team_page(shows(TOKEN_A, TOKEN_B), read_endpoint="public/{audience}")
    (error,) = target.read_document("PUT pages/a#", [slot("M1")]).values()
    assert error.permanent
    assert str(error).startswith("read_endpoint shows the new link and another link of the same model")


def test_a_list_that_is_only_written_is_not_read() -> None:
    target, _ = team_page()
    assert target.read_document("PUT pages/a#", [slot("M1")]) == {}
    assert target.check_shown([publication("M1")]) is None
    target.read_back("PUT pages/a#M1", shown_link(), {})
    (result,) = target.check([{"model_id": "M1", "audience": "a"}])
    assert result.verdict is Verdict.WARNING


def test_one_slot_is_never_written_and_is_read_back_with_its_list() -> None:
    target, _ = team_page(shows(), read_endpoint="public/{audience}")
    with pytest.raises(SlotError, match="writes all slots of an audience together"):
        target.put("PUT pages/a#M1", shown_link(), {})
    with pytest.raises(SlotError, match="does not show the new link"):
        target.read_back("PUT pages/a#M1", shown_link(), {})


def test_shown_slots_are_checked_list_by_list() -> None:
    target, web = team_page(shows(TOKEN_A), shows(TOKEN_B), read_endpoint="public/{audience}")
    some = [
        publication("M1", fingerprint=DIGEST), publication("M1", "b", fingerprint=DIGEST),
        publication("M2"), publication("M3", "b", fingerprint=DIGEST),
    ]  # fmt: skip
    assert target.check_shown(some) == SlotCheck(["PUT pages/b#M1", "PUT pages/b#M3"])
    assert [sent.path for sent in web.sent] == ["public/a", "public/b"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_list_that_is_gone_shows_nothing_and_another_refusal_is_raised(status: int) -> None:
    target, _ = team_page(answer(status), read_endpoint="public/{audience}")
    assert target.check_shown([publication("M1")]) == SlotCheck(["PUT pages/a#M1"])
    target, _ = team_page(answer(403), read_endpoint="public/{audience}")
    with pytest.raises(WebRefusal):
        target.check_shown([publication("M1")])


@pytest.mark.parametrize(("method", "verdict"), [("PUT", Verdict.GOOD), ("POST", Verdict.GOOD), ("PATCH", Verdict.BAD)])
def test_a_check_reads_the_list_of_each_audience_once(method: str, verdict: Verdict) -> None:
    target, web = team_page(answer(404), answer(404), method=method, read_endpoint="public/{audience}")
    items = [
        {"model_id": "M1", "audience": "a"},
        {"model_id": "M2", "audience": "a"},
        {"model_id": "M3", "audience": "b"},
    ]
    (result,) = target.check(items)
    assert result.verdict is verdict
    assert [sent.path for sent in web.sent] == ["public/a", "public/b"]
