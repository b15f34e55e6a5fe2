"""What a recipe's target records of a slot, when it reads and clears it, and how it checks many."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from pme_airflow.checks import Verdict
from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.recipes.model import BodyKind, Recipe, Section, Step
from pme_airflow.recipes.templates import Template
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets import http_steps
from pme_airflow.targets.base import SlotResult
from pme_airflow.targets.http_steps import HttpStepsTarget, http_target_name
from pme_airflow.targets.web import WebRefusal
from tests.support.links import MODEL, TOKEN_A, TOKEN_B, shown_link
from tests.support.recorded_web import Web, answer

DIGEST = fingerprint(AccessToken(TOKEN_A))
READ = (Step("r", "GET", Template("public/{{ model_id }}")),)


def write(method: str = "PUT", body: str = "{{ link }}") -> tuple[Step, ...]:
    return (Step("w", method, Template("x/{{ model_id }}"), body_kind=BodyKind.JSON, body={"u": Template(body)}),)


def target(
    *answers: requests.Response | Exception, sections: dict[Section, tuple[Step, ...]] | None = None, **options: Any
) -> tuple[HttpStepsTarget, Web]:
    recipe = Recipe(
        Template("{{ audience }}/{{ model_id }}"),
        {Section.PUT: write(), **(sections or {})},
        keeps_old=options.pop("keeps_old", False),
    )
    made = HttpStepsTarget(requests.Session(), "https://cms.example/", "http:t", recipe, **options)
    web = Web(*answers)
    made._web = web  # type: ignore[assignment]
    return made, web


def publication(number: int = 0, **details: Any) -> Publication:
    when = datetime(2026, 11, 26, tzinfo=timezone.utc)
    return Publication("key", "http:t", f"s{number}", "link-1", 1, MODEL, "intranet", when, "run", details)


@pytest.mark.parametrize("base", ["https://cms.example", "https://cms.example//"])
@pytest.mark.parametrize("place", ["x/y", "//x/y"])
def test_a_place_has_one_name_whatever_its_slashes(base: str, place: str) -> None:
    assert http_target_name(base, place) == "http:https://cms.example/x/y"


def test_a_slot_is_made_of_the_model_and_the_audience() -> None:
    made, _ = target(former_names=["http:old"], at_once=3)
    assert made.slots({"model_id": "a/b", "audience": 7}) == ["7/a%2Fb"]
    assert (made.name, made.former_names, made.at_once, made.shows_names) == ("http:t", ("http:old",), 3, False)
    named, _ = target(sections={Section.READ: (Step("r", "GET", Template("x?n={{ name }}")),)})
    assert named.shows_names
    assert target()[0].at_once == 1


# ------------------------------------------------------------------ writing


def test_a_slot_is_recorded_with_what_clearing_and_checking_it_need() -> None:
    made, web = target(answer(), answer())
    first = made.put("slot", shown_link(), {})
    public = {"model_id": MODEL, "audience": "intranet", "link_id": "link-1"}
    assert first == SlotResult({**public, "puts": 1, "fingerprint": DIGEST})
    assert made.put("slot", shown_link(), first.details).details["puts"] == 2
    assert web.sent[0].headers["Idempotency-Key"] != web.sent[1].headers["Idempotency-Key"]
    assert target(answer(), keeps_old=True)[0].put("slot", shown_link(), {"puts": "x"}).old_link_remains


def test_a_link_that_is_not_https_is_not_sent() -> None:
    made, web = target()
    with pytest.raises(SlotError, match="is not an https address"):
        made.put("slot", replace(shown_link(), url=SecretStr("http://my.matterport.com/x")), {})
    assert web.sent == []


def test_a_response_is_waited_for_half_a_minute_unless_the_connection_says_otherwise() -> None:
    recipe = Recipe(Template("s"), {Section.PUT: write()})
    for options, seconds in (({}, 30), ({"timeout": 7.0}, 7)):
        made = HttpStepsTarget(requests.Session(), "https://cms.example", "http:t", recipe, **options)
        assert made._web._timeout == seconds


def test_a_slot_whose_body_has_no_link_is_recorded_without_a_fingerprint() -> None:
    made, _ = target(answer(), sections={Section.PUT: write(body="{{ model_id }}")})
    assert "fingerprint" not in made.put("slot", shown_link(), {}).details


def test_templates_may_name_all_of_a_link_and_of_the_connection() -> None:
    names = ["link", "access_token", "valid_until", "name", "connection.login", "connection.password"]
    body = "|".join(f"{{{{ {name} }}}}" for name in names)
    made, web = target(answer(), sections={Section.PUT: write(body=body)}, login="bot", password=SecretStr("pass"))
    link = shown_link(name="")
    made.put("slot", link, {})
    expected = [link.url.reveal(), TOKEN_A, "2026-11-27T02:00:00Z", MODEL, "bot", "pass"]
    assert web.sent[0].body == {"u": "|".join(expected)}
    made, web = target(answer(), sections={Section.PUT: write(body=body)})
    made.put("slot", link, {})
    assert web.sent[0].body == {"u": "|".join([*expected[:-2], "", ""])}


# ------------------------------------------------------------------ reading back


def test_a_slot_has_to_show_its_link_alone() -> None:
    url, other = shown_link().url.reveal(), shown_link(TOKEN_B).url.reveal()
    sections = {Section.READ: READ}
    target(answer(body=[url]), sections=sections)[0].read_back("slot", shown_link(), {})
    for body, message, permanent in (
        ([other], "the write was confirmed, but read_back does not show the new link", False),
        ([url, other], "read_back shows the new link and another link of the same model", True),
    ):
        with pytest.raises(SlotError) as failure:
            target(answer(body=body), sections=sections)[0].read_back("slot", shown_link(), {})
        assert str(failure.value).startswith(message)
        assert failure.value.permanent is permanent
    made, web = target()
    made.read_back("slot", shown_link(), {})
    assert web.sent == []


# ------------------------------------------------------------------ clearing


def test_a_slot_is_cleared_with_what_was_recorded_of_it() -> None:
    clear = (Step("c", "DELETE", Template("x/{{ model_id }}/{{ audience }}?l={{ link_id }}")),)
    made, web = target(answer(), sections={Section.CLEAR: clear})
    assert made.take_away("slot", {"model_id": "M", "audience": "a", "link_id": "l"}) == SlotResult()
    assert web.sent[0].path == "x/M/a?l=l"
    made, _ = target(answer(), sections={Section.CLEAR: clear}, keeps_old=True)
    assert made.take_away("slot", {"model_id": "M", "audience": "a", "link_id": "l"}).old_link_remains
    assert made.clearing_values("slot", {"model_id": "M"}) == {"model_id": "M", "audience": "", "link_id": ""}
    for refused, details, message in (
        (target()[0], {"model_id": "M"}, "cannot be cleared without take_away: set it, or remove the link by hand"),
        (made, {}, "recorded by another task, so its recipe cannot clear it: do it by hand"),
    ):
        with pytest.raises(SlotError, match=message):
            refused.take_away("slot", details)


# ------------------------------------------------------------------ checking slots


def test_slots_that_changed_are_read_and_their_etags_kept() -> None:
    url = shown_link().url.reveal()
    answers = [
        answer(body=[url], ETag='"e2"'),
        answer(304),
        answer(body=[url]),
        answer(body=["x"]),
        answer(404),
        answer(410),
    ]
    made, web = target(*answers, sections={Section.READ: READ})
    known = [
        publication(0, fingerprint=DIGEST, read_at="1"), publication(1, fingerprint=DIGEST, etag='"e1"', read_at="2"),
        publication(2, fingerprint=DIGEST, read_at="3"), publication(3, fingerprint=DIGEST, read_at="4"),
        publication(4, read_at="5"), publication(5, read_at="6"),
    ]  # fmt: skip
    found = made.check_shown(known)
    assert found is not None
    assert found.lost == ["s3", "s4", "s5"]
    assert {slot: details["etag"] for slot, details in found.details.items()} == {"s0": '"e2"', "s1": '"e1"', "s2": ""}
    when = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+00:00")
    assert all(when.fullmatch(details["read_at"]) for details in found.details.values())
    assert {details["fingerprint"] for details in found.details.values()} == {DIGEST}
    assert [sent.headers for sent in web.sent] == [{}, {"If-None-Match": '"e1"'}, {}, {}, {}, {}]


def test_a_slot_of_which_no_fingerprint_is_known_is_shown_as_long_as_it_is_there() -> None:
    made, _ = target(answer(body=["x"], ETag="e"), sections={Section.READ: READ})
    found = made.check_shown([publication()])
    assert found is not None
    assert (found.lost, found.details["s0"]["etag"]) == ([], "e")


def test_the_fifty_slots_that_were_not_read_for_longest_are_read() -> None:
    made, web = target(*(answer() for _ in range(60)), sections={Section.READ: READ})
    found = made.check_shown(
        [publication(number, read_at=f"{99 - number:02}") for number in range(60)] + [publication(99)]
    )
    assert found is not None
    assert len(web.sent) == 50
    assert set(found.details) == {"s99", *(f"s{number}" for number in range(11, 60))}


def test_a_check_ends_after_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 29.9, 30.0, 31.0])
    monkeypatch.setattr(http_steps, "time", SimpleNamespace(monotonic=lambda: next(now)))
    made, web = target(answer(), sections={Section.READ: READ})
    found = made.check_shown([publication(number) for number in range(3)])
    assert found is not None
    assert (list(found.details), found.lost, len(web.sent)) == (["s0"], [], 1)


def test_a_refusal_of_one_slot_is_raised() -> None:
    made, _ = target(answer(403), sections={Section.READ: READ})
    with pytest.raises(WebRefusal):
        made.check_shown([publication()])


@pytest.mark.parametrize(
    "read", [(), (Step("r", "GET", Template("x?u={{ link }}")),), (Step("r", "GET", Template("x?u={{ name }}")),)]
)
def test_slots_that_cannot_be_read_later_are_not_checked(read: tuple[Step, ...]) -> None:
    made, _ = target(sections={Section.READ: read} if read else {})
    assert made.check_shown([publication()]) is None


# ------------------------------------------------------------------ the check of a set-up


@pytest.mark.parametrize(
    ("method", "status", "verdict"),
    [
        ("PUT", 404, Verdict.GOOD),
        ("POST", 410, Verdict.GOOD),
        ("PATCH", 404, Verdict.BAD),
        ("PATCH", 200, Verdict.GOOD),
    ],
)
def test_a_check_reads_the_slots_without_a_link(method: str, status: int, verdict: Verdict) -> None:
    before = (Step("before", "GET", Template("b")), Step("first", "PUT", Template("f")))
    made, web = target(answer(status), sections={Section.PUT: (*before, *write(method)), Section.READ: READ})
    (result,) = made.check([{"model_id": "M", "audience": "a"}])
    assert (result.verdict, [sent.path for sent in web.sent]) == (verdict, ["public/M"])


def test_a_check_uses_the_recipes_own_steps_before_those_that_read_back() -> None:
    own = (Step("c", "GET", Template("check/{{ model_id }}")),)
    made, web = target(answer(), sections={Section.READ: READ, Section.CHECK: own})
    assert made.check([{"model_id": "M", "audience": "a"}])[0].verdict is Verdict.GOOD
    assert [sent.path for sent in web.sent] == ["check/M"]


def test_a_check_does_not_read_what_needs_the_links_id() -> None:
    made, web = target(sections={Section.READ: (Step("r", "GET", Template("x/{{ link_id }}")),)})
    (result,) = made.check([{"model_id": "M", "audience": "a"}])
    assert (result.verdict, result.cure) == (Verdict.WARNING, "Name what readers get the link from in read_back.")
    assert web.sent == []
