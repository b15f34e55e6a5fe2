"""Responding to a leak: what is flagged, what is revoked, and what is named because it is not."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.api.client import PMEClient
from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerUnavailableError, PMEInputError, PMEUnavailableError
from pme_airflow.leaks.reports import Findings
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.lifecycle import leak_response
from pme_airflow.lifecycle.leak_response import (
    LeakedLink,
    LeakRequest,
    LeakResponse,
    _log,
    _why_alive,
    flagged_and_alive,
    respond,
    select_leaked,
)
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep_result import SweepResult
from pme_airflow.secrets import SecretStr
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT as OWN_CLIENT
from tests.support.ledgers import OTHER as OTHER_CLIENT
from tests.support.ledgers import insert_link, ledger_in_memory, row_of
from tests.support.rooms import CLIENT, demand, mint, rows

ALL = list(MODELS)
UNKNOWN = "sha256:" + "0" * 64
PERSON = timedelta(seconds=15)


def responded(services: Services, **what: Any) -> LeakResponse:
    return respond(services, RunContext("cli"), LeakRequest(**what))


def test_a_token_is_flagged_and_revoked_and_no_other(services: Services, world: World) -> None:
    items = mint(services, "run", ALL[:3]).items
    tokens = {issued.model_id: issued.token for issued in world.alive()}
    response = responded(services, tokens=(f"Bearer+{tokens[ALL[1]]}",), sweep=True, reason="in a ticket")
    assert response.promise_kept
    (link,) = response.links
    assert (link.row.link_id, link.row.state.value) == (items[1]["link_id"], "revoked")
    assert link.not_revoked is None
    assert link.exposure is not None
    assert link.exposure >= 0
    assert {issued.model_id for issued in world.alive()} == {ALL[0], ALL[2]}
    assert tokens[ALL[1]] not in repr(response) + str(response.as_json()) + repr(LeakRequest(tokens=(tokens[ALL[1]],)))


@pytest.mark.parametrize("text", ["see auth=Bearer+{}.Please revoke", "Bearer+{}_blank", "?auth-3DBearer-2B{}-26x-3D1"])
def test_a_token_with_a_word_behind_it_is_flagged(services: Services, world: World, text: str) -> None:
    mint(services, "one", [next(iter(MODELS))])
    (issued,) = world.alive()
    responded(services, tokens=(text.format(issued.token),))
    assert rows(services)[0].flagged_at is not None


def test_without_a_sweep_it_is_flagged_alone(services: Services, world: World) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    response = responded(services, tokens=(item["fingerprint"],))
    assert response.promise_kept
    assert response.sweep is None
    assert [link.row.state.value for link in response.links] == ["live"]
    assert rows(services)[0].flagged_at is not None
    assert len(world.alive()) == 1


@pytest.mark.parametrize("way", ["it breaks every connection", "nobody listens"])
def test_an_unreachable_api_is_reported_within_the_deadline(
    make_services: MakeServices, world: World, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    (item,) = mint(services, "run", ALL[:1]).items
    world.down = True
    if way == "nobody listens":
        unreachable = PMEClient(CLIENT, SecretStr("any secret of some length"), "http://127.0.0.1:9", clock=clock)
        services = replace(services, client=unreachable)
    begun = clock.monotonic()
    with caplog.at_level(logging.ERROR):
        response = responded(services, tokens=(item["fingerprint"],), sweep=True, deadline=PERSON)
    assert clock.monotonic() - begun <= PERSON.total_seconds()
    assert not response.promise_kept
    assert not response.permanent
    (link,) = response.not_revoked
    assert link.row.link_id == item["link_id"]
    (line,) = response.lines()
    for part in ("NOT revoked", item["link_id"], item["fingerprint"], "until", "next sweep", "connect"):
        assert part in line
    assert line in caplog.text
    assert "NOT revoked" in response.summary


def test_an_api_that_answers_false_is_reported_within_the_deadline(make_services: MakeServices, world: World) -> None:
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    mint(services, "run", ALL[:1])
    world.set_faults({"lying_false": 1.0})
    begun = clock.monotonic()
    response = responded(services, audiences=("intranet",), sweep=True, deadline=PERSON, max_attempts=50)
    assert clock.monotonic() - begun <= PERSON.total_seconds()
    assert not response.promise_kept
    assert "false" in response.lines()[0]


def test_a_sweep_that_makes_progress_outlives_the_deadline(make_services: MakeServices, world: World) -> None:
    clock = FakeClock(start=world.now())
    services = make_services(clock, batch_size=1, max_concurrency=1)
    mint(services, "run", ALL)
    send = world.revoke

    def slowly(token: str) -> bool:
        clock.advance(1)
        return send(token)

    world.revoke = slowly  # type: ignore[method-assign]
    assert responded(services, audiences=("intranet",), sweep=True, deadline=PERSON).promise_kept
    assert world.alive() == []


def test_the_link_of_another_client_is_named_with_its_client(services: Services, world: World) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    services.client.client_id = "another-client"
    response = responded(services, tokens=(item["fingerprint"],), sweep=True)
    assert not response.promise_kept
    (line,) = response.lines()
    assert "emulator-client" in line
    assert "another-client" in line
    assert response.sweep is not None
    (other,) = response.sweep.other_clients
    assert (other.client_id, other.count) == ("emulator-client", 1)
    assert not response.sweep.promise_kept


def test_a_fingerprint_of_no_known_link_is_named(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        response = responded(services, tokens=(UNKNOWN,), sweep=True)
    assert response.tombstones == (UNKNOWN,)
    assert UNKNOWN in response.lines()[0]
    assert UNKNOWN in caplog.text


@pytest.mark.parametrize(
    "what",
    [
        {"tokens": (UNKNOWN,), "models": (ALL[0],)},
        {"tokens": (UNKNOWN,), "audiences": ("intranet",)},
        {"models": (ALL[0],), "audiences": ("intranet",)},
        {"link_ids": ("lnk_x",), "models": (ALL[0],)},
        {"reports": (Findings("text", 1, (UNKNOWN,)),), "audiences": ("intranet",)},
    ],
)
def test_a_union_that_reads_like_a_filter_is_refused(services: Services, what: dict[str, Any]) -> None:
    mint(services, "run", ALL[:2])
    with pytest.raises(PMEInputError, match="within"):
        responded(services, **what)
    assert not any(row.flagged_at for row in rows(services))


def test_within_flags_what_matches_every_criterion(services: Services) -> None:
    mint(services, "run", ALL[:2])
    (other,) = mint(services, "run2", ALL[:1], demand(audience="brokers")).items
    response = responded(services, models=(ALL[0],), audiences=("brokers",), within=True)
    assert [link.row.link_id for link in response.links] == [other["link_id"]]
    assert [row.link_id for row in rows(services) if row.flagged_at] == [other["link_id"]]


@pytest.mark.parametrize(
    "what",
    [
        {"tokens": ("two words",), "models": (ALL[0],)},
        {"reports": (Findings("text", 1, (UNKNOWN,)),), "models": (ALL[0],)},
        {"models": ("no model",), "audiences": ("intranet",)},
        {"link_ids": ("lnk_unknown",), "audiences": ("intranet",)},
        {"audiences": (7,), "models": (ALL[0],)},
    ],
)
def test_within_a_criterion_that_is_unreadable_or_unknown_nothing_is_flagged(
    services: Services, what: dict[str, Any]
) -> None:
    mint(services, "run", ALL[:2])
    selected: list[object] = []
    response = responded(services, **what, within=True, on_selected=selected.extend)
    assert response.links == ()
    assert selected == []
    assert not any(row.flagged_at for row in rows(services))


def test_what_will_be_flagged_is_shown_before_it_is(services: Services) -> None:
    mint(services, "run", ALL[:2])
    (other,) = mint(services, "run2", ALL[:1], demand(audience="brokers")).items
    seen: list[list[str]] = []
    flagged: list[int] = []

    def on_selected(links: Any) -> None:
        flagged.append(sum(row.flagged_at is not None for row in rows(services)))
        seen.append([link.link_id for link in links])

    responded(services, models=(ALL[0],), audiences=("brokers",), within=True, on_selected=on_selected)
    responded(services, tokens=(other["fingerprint"], other["fingerprint"]), on_selected=on_selected)
    responded(services, models=(ALL[0],), on_selected=on_selected)
    assert seen[0] == seen[1] == [other["link_id"]]
    assert len(seen[2]) == 2
    assert flagged == [0, 1, 1]


def test_models_and_audiences_are_those_of_the_connections_own_client(services: Services) -> None:
    mint(services, "run", ALL[:2])
    services.client.client_id = "another-client"
    for what in ({"models": (ALL[0],)}, {"audiences": ("intranet",)}):
        assert responded(services, **what).links == ()
    assert responded(services, models=(ALL[0],), audiences=("intranet",), within=True).links == ()
    assert not any(row.flagged_at for row in rows(services))


def test_a_known_fingerprint_outside_of_the_filter_is_named_and_not_flagged(services: Services) -> None:
    first, second = mint(services, "run", ALL[:2]).items
    tokens = (first["fingerprint"], second["fingerprint"], UNKNOWN)
    response = responded(services, tokens=tokens, models=(ALL[0],), within=True)
    assert [link.row.link_id for link in response.links] == [first["link_id"]]
    assert response.outside == (second["fingerprint"],)
    assert response.tombstones == (UNKNOWN,)
    assert any(second["fingerprint"] in line for line in response.lines())


def test_one_unreadable_part_costs_that_part_alone(services: Services, world: World, tmp_path: Any) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    response = responded(
        services,
        tokens=(item["fingerprint"], "two words", 7),
        report_places=(str(tmp_path / "nowhere.json"),),
        unread=("queue/a.json: it cannot be read",),
        sweep=True,
    )
    assert world.alive() == []
    assert len(response.problems) == 4
    assert response.permanent
    assert not response.promise_kept
    assert any("queue/a.json" in line for line in response.lines())


def test_a_report_flags_known_links_and_leaves_no_tombstones(services: Services, world: World, tmp_path: Any) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    report = tmp_path / "report.txt"
    report.write_text(f"{item['fingerprint']}\n{UNKNOWN}\n")
    response = responded(services, report_places=(str(report),), sweep=True)
    assert response.promise_kept
    assert response.known_findings == 1
    assert response.tombstones == ()
    assert world.alive() == []


def test_two_reports_in_one_response_are_read_together(services: Services, world: World) -> None:
    items = mint(services, "run", ALL[:3]).items
    reports = (Findings("a", 5, (items[0]["fingerprint"],)), Findings("b", 6, (items[1]["fingerprint"], UNKNOWN)))
    response = responded(services, reports=reports, sweep=True)
    assert {link.row.model_id for link in response.links} == set(ALL[:2])
    assert (response.findings.total if response.findings else 0) == 11
    assert {issued.model_id for issued in world.alive()} == {ALL[2]}


@pytest.mark.parametrize("form", ["{token}", "Bearer+{token}", "Bearer {token}", "Bearer%20{token}", "{url}"])
def test_a_report_of_sha1_digests_flags_the_links_it_means(services: Services, world: World, form: str) -> None:
    item = mint(services, "run", ALL[:2]).items[1]
    opened = services.open_item(dict(item))
    text = form.format(token=opened.token.reveal(), url=opened.url.reveal())
    digest = hashlib.sha1(text.encode()).hexdigest()
    response = responded(services, reports=(Findings("detect-secrets", 1, (), frozenset({digest})),), sweep=True)
    assert [link.row.link_id for link in response.links] == [item["link_id"]]
    assert [issued.model_id for issued in world.alive()] == [ALL[0]]


def test_a_report_of_other_peoples_secrets_flags_nothing(services: Services) -> None:
    mint(services, "run", ALL[:1])
    response = responded(services, reports=(Findings("gitleaks", 3, (UNKNOWN,)),), sweep=True)
    assert response.promise_kept
    assert response.links == ()
    assert "none of the 3 findings" in response.summary


def test_a_request_with_nothing_in_it_is_refused(services: Services) -> None:
    with pytest.raises(PMEInputError, match="nothing in it"):
        responded(services)


def test_refused_credentials_are_reported_after_the_flag(services: Services, world: World) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    broken = replace(services, client=services.client)

    def refuse(_: object) -> None:
        raise PMEUnavailableError("the credentials are refused, say")

    broken.client.revoke = refuse  # type: ignore[assignment,method-assign]
    response = responded(broken, tokens=(item["fingerprint"],), sweep=True, deadline=None, max_attempts=1)
    assert rows(services)[0].flagged_at is not None
    assert not response.promise_kept
    assert len(world.alive()) == 1


def test_a_link_whose_answer_was_lost_is_named_as_not_revoked(services: Services, world: World) -> None:
    world.set_faults({"lost_after": 1.0})
    mint(services, "run", ALL[:1])
    world.set_faults({})
    response = responded(services, models=(ALL[0],), sweep=True)
    assert len(response.not_revoked) == len(rows(services, "unaccounted")) > 0
    assert not response.promise_kept
    assert "lost" in response.lines()[0]


@pytest.mark.parametrize("denied", [0, 2])
def test_links_that_may_live_come_first(
    shared_services: Services, denied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = shared_services
    mint(services, "run", ALL[:3])
    send: Callable[..., Any] = services.client.revoke

    def all_but_one(tokens: list[Any]) -> Any:
        from pme_airflow.api.outcomes import NotRevoked

        verdicts = send([token for place, token in enumerate(tokens) if place != denied])
        verdicts.insert(denied, NotRevoked("the API answered false", denied=True))
        return verdicts

    monkeypatch.setattr(services.client, "revoke", all_but_one)
    response = responded(services, audiences=("intranet",), sweep=True, max_attempts=1)
    assert [link.alive for link in response.links] == [True, False, False]
    assert response.links[0].row.irrevocable


def test_a_response_of_many_links_stays_short_and_counts_them_all(services: Services) -> None:
    row = mint(services, "monday", list(MODELS)[:1]).items and rows(services, "live")[0]
    many = tuple(LeakedLink(replace(row, link_id=f"lnk_{index}"), "no answer") for index in range(1500))
    response = LeakResponse(many, swept=True)
    assert response.as_json()["total"] == 1500
    assert len(response.as_json()["tokens"]) == 1000
    assert len(response.lines()) == 101
    assert "NOT revoked: 1400 more links" in response.lines()[-1]
    assert "1500 NOT revoked" in response.summary


def test_rows_of_a_response_have_no_sealed_texts(services: Services) -> None:
    mint(services, "monday", list(MODELS)[:3])
    selected: list[LinkRow] = []
    request = LeakRequest(audiences=("intranet",), sweep=True, on_selected=selected.extend)
    response = respond(services, RunContext("dag/leak/flag/-1"), request)
    assert [row.sealed for row in selected] == [None] * 3
    assert [(link.row.state.value, link.row.sealed) for link in response.links] == [("revoked", None)] * 3


@pytest.mark.parametrize("name", ["models", "audiences", "link_ids"])
def test_a_token_given_as_another_criterion_is_unknown_and_nowhere_repeated(
    services: Services, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = "k3f9x0a8q7w6e5r4t3y2u1i0p"
    request = LeakRequest(**{name: (token, 7)}, reason=f"found {token}")
    response = respond(services, RunContext("cli"), request)
    assert len(response.unknown) == 1
    shown = f"{request!r} {response!r} {response.as_json()} {response.lines()} {caplog.text}"
    assert token not in shown


# ------------------------------------------------------------------ why it is alive

NOW = FakeClock().now()
AWAY = PMEUnavailableError("the API is away")
FALSE = SweepResult(reasons={"lnk": "the API answered false"})


@pytest.mark.parametrize(
    ("values", "swept", "error", "reason"),
    [
        ({"state": "revoked"}, FALSE, AWAY, None),
        ({"state": "expired"}, None, None, None),
        ({"client_id": OTHER_CLIENT}, FALSE, AWAY, f"it was minted by client {OTHER_CLIENT}, and this connection is of "
         f"client {OWN_CLIENT}. Sweep with the connection whose client id is {OTHER_CLIENT}"),
        ({"state": "unaccounted"}, FALSE, AWAY,
         "the response with its token was lost, so nobody can revoke it; it was shown to nobody"),
        ({"state": "minting"}, FALSE, AWAY,
         "it is being minted; the next sweep revokes it as soon as its token is known"),
        ({}, FALSE, AWAY, "the API answered false"),
        ({}, SweepResult(), AWAY, "the API is away"),
        ({}, None, AWAY, "the API is away"),
        ({}, None, None, "another sweep is revoking it, or it waits for its next attempt; the next sweep tries it"),
    ],
)  # fmt: skip
def test_a_flagged_link_has_a_reason_to_be_alive(
    values: dict[str, Any], swept: SweepResult | None, error: PMEUnavailableError | None, reason: str | None
) -> None:
    ledger = ledger_in_memory(FakeClock())
    insert_link(ledger, "lnk", NOW, **{"state": "live", "flagged_at": NOW, **values})
    assert _why_alive(row_of(ledger, "lnk"), of_ledger(ledger), swept, error) == reason
    found = flagged_and_alive(of_ledger(ledger), swept)
    assert [link.not_revoked for link in found] == ([] if reason is None else [_why_alive(
        row_of(ledger, "lnk"), of_ledger(ledger), swept, None)])  # fmt: skip


def of_ledger(ledger: Database) -> Any:
    return SimpleNamespace(client=SimpleNamespace(client_id=OWN_CLIENT), database=ledger)


def test_a_hundred_flagged_links_are_named_unless_another_limit_is_given() -> None:
    ledger = ledger_in_memory(FakeClock())
    for number in range(101):
        insert_link(ledger, f"lnk_{number}", NOW, state="live", flagged_at=NOW)
    assert len(flagged_and_alive(of_ledger(ledger))) == 100
    assert [link.row.link_id for link in flagged_and_alive(of_ledger(ledger), limit=2)] == ["lnk_100", "lnk_99"]


def test_each_link_is_logged_with_its_exposure(caplog: pytest.LogCaptureFixture) -> None:
    ledger = ledger_in_memory(FakeClock())
    insert_link(ledger, "lnk", NOW, state="revoked", flagged_at=NOW, revoked_at=NOW + timedelta(seconds=2.5),
                fingerprint=UNKNOWN)  # fmt: skip
    row = row_of(ledger, "lnk")
    with caplog.at_level(logging.INFO):
        _log(LeakedLink(row))
        _log(LeakedLink(replace(row, state=State.EXPIRED, revoked_at=None)))
    assert [record.message for record in caplog.records if record.message.startswith("Token")] == [
        f"Token {UNKNOWN} of model {row.model_id}: revoked, exposure 2.5 s.",
        f"Token {UNKNOWN} of model {row.model_id}: expired, exposure unknown.",
    ]


def test_a_request_of_which_nothing_can_be_read_says_so_and_flags_nothing(shared_services: Services) -> None:
    selected: list[object] = []
    response = responded(shared_services, tokens=("two words",), sweep=True, on_selected=selected.append)
    assert (len(response.problems), response.swept, response.links, selected) == (1, True, (), [])


def test_nothing_is_selected_where_nothing_is_named(shared_services: Services) -> None:
    mint(shared_services, "run", ALL[:1])
    selected = select_leaked(shared_services, LeakRequest(tokens=("no token",)))
    assert (selected.links, len(selected.problems), selected.is_empty) == ((), 1, True)


def test_names_that_no_link_ever_had_are_told_from_those_whose_links_have_ended(services: Services) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    names = {"models": (ALL[0],)}, {"audiences": ("intranet",)}, {"link_ids": (item["link_id"],)}
    assert [responded(services, **name, sweep=True).never_recorded for name in names] == [()] * 3
    assert not any(row.usable for row in rows(services))
    assert [responded(services, **name, sweep=True).never_recorded for name in names] == [()] * 3
    typos = {"models": (ALL[1],)}, {"audiences": ("intranot",)}, {"link_ids": ("lnk_typo",)}
    for name in typos:
        (absent,) = responded(services, **name, sweep=True).never_recorded
        assert absent.endswith(next(iter(name.values()))[0])
        assert select_leaked(services, LeakRequest(**name)).never_recorded == (absent,)  # type: ignore[arg-type]
    within = responded(services, models=(ALL[0],), audiences=("intranot",), within=True)
    assert within.never_recorded == ("audience intranot",)
    assert "Check the spelling" in within.lines()[0]


def test_what_another_client_minted_is_not_recorded_of_this_one(services: Services) -> None:
    mint(services, "run", ALL[:1])
    services.client.client_id = "another-client"
    assert responded(services, audiences=("intranet",)).never_recorded == ("audience intranet",)


def test_a_ledger_that_goes_away_after_the_sweep_is_named_and_nothing_is_called_revoked(
    shared_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = mint(shared_services, "run", ALL[:1]).items

    def away(tx: object, link_ids: object) -> Any:
        raise LedgerUnavailableError("the database went away")

    monkeypatch.setattr(leak_response, "by_ids", away)
    response = responded(shared_services, tokens=(item["fingerprint"],), sweep=True)
    assert str(response.sweep_error) == "the database went away"
    assert not response.promise_kept
    assert [link.alive for link in response.links] == [True]
