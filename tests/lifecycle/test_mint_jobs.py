"""Tokens for several models: what is asked for, what becomes of refusals, and what is left when the call goes away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest
import requests

from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import Made, MintVerdict, NotMade
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMECredentialsError, PMEError, PMEModelError, PMESharedTokenError, PMEUnavailableError
from pme_airflow.ledger.link_models import SHARED
from pme_airflow.lifecycle import mint_jobs
from pme_airflow.lifecycle.mint import MAX_LOST_RESPONSES
from pme_airflow.lifecycle.mint_jobs import MintJob, TokenSharing, can_be_split
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.lifecycle.conftest import SHARED_MODELS as MODELS
from tests.lifecycle.conftest import MakeShared
from tests.support.rooms import Shelf, demand, mint, publish, rows, sweep
from tests.support.together import at_once


@pytest.fixture
def world(shared_world: World) -> World:
    return shared_world


@pytest.fixture
def make(make_shared: MakeShared) -> MakeShared:
    return make_shared


@pytest.fixture
def services(shared_services: Services) -> Services:
    return shared_services


def shared(services: Services, run: str, models: list[str], size: int = 25, **named: Any) -> Any:
    return mint(services, run, models, demand(**named), models_per_token=size)


def withdraw(services: Services) -> None:
    """Take the call away from the emulator."""
    requests.post(f"{services.client.host}/_emulator/control", json={"shared_tokens": False}, timeout=10)


def unknown(services: Services, world: World) -> list[str]:
    """The live tokens that no row of the ledger has."""
    known = {row.fingerprint for row in rows(services, "live")}
    return [token.token for token in world.alive() if fingerprint(AccessToken(token.token)) not in known]


def test_a_thousand_models_take_a_twentieth_of_the_requests(services: Services, world: World) -> None:
    result = shared(services, "monday", MODELS)
    assert (result.links, result.minted, result.shared_tokens, len(result.failures)) == (1000, 1000, 40, 0)
    assert world.counts["minted"] == 40
    sent = world.counts["requests:graph"]
    mint(services, "tuesday", MODELS)
    assert (sent, world.counts["requests:graph"] - sent) == (4, 100)
    assert [item["model_id"] for item in result.items] == MODELS
    for item in result.items[::99]:
        assert set(item) == {
            "link_id", "model_id", "audience", "fingerprint", "valid_until", "application", "link",
        }  # fmt: skip
        opened = services.open_item(item)
        assert world.opens(opened.token.reveal(), item["model_id"])
        assert opened.url.reveal().endswith(f"/show?m={item['model_id']}&auth=Bearer+{opened.token.reveal()}")
    assert not unknown(services, world)


def test_a_token_is_reused_by_each_of_its_models_and_shown_until_none_shows_it(
    services: Services, world: World
) -> None:
    shelf = Shelf()
    first = shared(services, "monday", MODELS[:20])
    assert len(publish(services, "monday", shelf, first.items).published) == 20
    kept = shared(services, "keeper", MODELS[5:15], renew_before=timedelta(hours=12))
    assert (kept.reused, kept.minted, world.counts["minted"]) == (10, 0, 1)
    assert publish(services, "keeper", shelf, kept.items).unchanged.total == 10
    shelf.broken = {MODELS[7]}
    second = shared(services, "tuesday", MODELS[:20])
    assert len(publish(services, "tuesday", shelf, second.items).published) == 19
    new, old = rows(services)
    assert (old.retire_at, old.opens, new.opens) == (None, tuple(MODELS[:20]), tuple(MODELS[:20]))
    shelf.broken = set()
    publish(services, "tuesday again", shelf, second.items)
    new, old = rows(services)
    assert old.retire_at is not None
    assert new.retire_at is None


@pytest.mark.parametrize("bad", [1, 3])
def test_bad_models_among_many_fail_alone(services: Services, world: World, bad: int) -> None:
    broken = MODELS[3 : 3 + bad * 7 : 7]
    for model_id in broken:
        world.models[model_id]["state"] = "inactive"
    result = shared(services, "monday", MODELS[:25])
    assert sorted(failure.model_id for failure in result.failures) == broken
    assert result.links == 25 - bad
    assert result.shared_tokens >= 2
    assert not unknown(services, world)
    assert {row.state.value for row in rows(services)} == {"live", "failed"}


def test_duplicates_are_one_model_of_one_token(services: Services, world: World) -> None:
    assert shared(services, "monday", [*MODELS[:3], *MODELS[:3]]).links == 3
    (row,) = rows(services)
    assert (row.model_id, row.opens) == (SHARED, tuple(MODELS[:3]))


def test_a_model_that_is_alone_has_a_link_of_its_own(services: Services, world: World) -> None:
    shared(services, "monday", MODELS[:26])
    alone, several = sorted(rows(services), key=lambda row: len(row.opens))
    assert (alone.model_id, alone.opens, len(several.opens)) == (MODELS[25], (MODELS[25],), 25)


def test_where_the_call_is_missing_links_are_single_and_nobody_asks_again(
    make: MakeShared, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    withdraw(make())
    caplog.set_level(logging.WARNING)
    results = [shared(make(), run, MODELS[:50]) for run in ("monday", "tuesday", "wednesday")]
    assert [(result.links, result.shared_tokens, result.failures.total) for result in results] == [(50, 0, 0)] * 3
    assert world.counts["refused_documents"] == 1
    warned = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["makes no tokens" in message for message in warned] == [True]


def test_where_the_call_is_withdrawn_between_two_nights_links_are_single(services: Services, world: World) -> None:
    shared(services, "monday", MODELS[:50])
    withdraw(services)
    result = shared(services, "tuesday", MODELS[:50])
    assert (result.links, result.shared_tokens, result.failures.total) == (50, 0, 0)


def test_a_call_that_refuses_all_is_given_up(services: Services, world: World) -> None:
    asked = []
    send = services.client.mint

    def refuse(wanted: list[MintRequest]) -> list[MintVerdict]:
        if not wanted[0].models:
            return send(wanted)
        asked.extend(wanted)
        return [NotMade(PMEModelError("refused"), resend=False)] * len(wanted)

    with mock.patch.object(services.client, "mint", refuse):
        result = shared(services, "monday", MODELS[:400], size=4)
    assert (result.links, result.shared_tokens, result.failures.total) == (400, 0, 0)
    assert len(asked) <= 300  # of 4 and 2 models; 100 tokens of 4 would be enough, were they made
    assert services.client.models_per_token == 1


def test_how_many_models_a_token_may_open_is_learned_once_a_day(make: MakeShared, world: World) -> None:
    world.max_models_per_token = 12
    sizes = []
    for run in ("monday", "tuesday", "wednesday"):
        result = shared(make(), run, MODELS[:100])
        assert (result.links, result.failures.total) == (100, 0)
        sizes.append((result.shared_tokens, world.counts.pop("refused_tokens", 0)))
    assert sizes[0][1] >= 4
    assert sizes[1:] == [(9, 0)] * 2  # of 12 models: the next halves of 25 are 13, which is one too many, and 12
    assert make().client.models_per_token == 12


@pytest.mark.parametrize("size", [24, 25])
def test_a_bad_model_is_not_taken_for_a_limit(services: Services, world: World, size: int) -> None:
    send = services.client.mint
    bad = MODELS[7]

    def alone_only(wanted: list[MintRequest]) -> list[MintVerdict]:
        """Refuse one model in a token with others."""
        refused = [NotMade(PMEModelError("refused"), resend=False)]
        return [verdict for one in wanted for verdict in (refused if bad in one.models else send([one]))]

    with mock.patch.object(services.client, "mint", alone_only):
        result = shared(services, "monday", MODELS[:size])
    assert (result.links, result.failures.total) == (size, 0)
    assert services.client.models_per_token is None


def test_a_token_that_comes_with_errors_is_revoked_and_not_shown(services: Services, world: World) -> None:
    send = services.client.mint

    def incomplete(wanted: list[MintRequest]) -> list[MintVerdict]:
        return [
            Made(verdict.link, is_complete=len(request.models) < 10) if isinstance(verdict, Made) else verdict
            for request, verdict in zip(wanted, send(wanted), strict=True)
        ]

    with mock.patch.object(services.client, "mint", incomplete):
        result = shared(services, "monday", MODELS[:16])
    assert (result.links, result.shared_tokens) == (16, 2)
    assert not unknown(services, world)
    assert len(sweep(services).revoked) == 1
    shown = {item["fingerprint"] for item in result.items}
    assert {fingerprint(AccessToken(token.token)) for token in world.alive()} == shown


def test_a_token_that_comes_back_twice_has_one_row(services: Services, world: World) -> None:
    """Two rows of one token would let the retirement of one end what the other one's slots show."""
    issue = world.issue
    first = issue(MODELS[0], 3600, MODELS[1:4])

    def again(model_id: str, seconds: int, more_models: Any = ()) -> Any:
        return first if more_models else issue(model_id, seconds)

    with mock.patch.object(world, "issue", again):
        result = shared(services, "monday", MODELS[:8], size=4)
    assert (result.links, result.failures.total) == (8, 0)
    found = [row.fingerprint for row in rows(services, "live")]
    assert len(found) == len(set(found)) == 5
    assert not unknown(services, world)


@pytest.mark.parametrize("fault", ["lost_after", "made_but_null", "bad_gateway_after"])
def test_a_lost_answer_leaves_one_row_a_token(services: Services, world: World, fault: str) -> None:
    services.client.check_credentials()
    world.set_faults({fault: 1.0})
    result = shared(services, "monday", MODELS[:40], size=20)
    assert (result.links, result.failures.total) == (0, 40)
    assert result.lost == 2 * MAX_LOST_RESPONSES
    covered = rows(services, "unaccounted")
    assert len(covered) == len(world.alive()) == 2 * MAX_LOST_RESPONSES
    assert {row.opens for row in covered} == {tuple(MODELS[:20]), tuple(MODELS[20:40])}


def test_two_runs_at_once_mint_once_and_share(make: MakeShared, world: World) -> None:
    world.set_faults({"slow": 1.0})
    results = {}

    def run(name: str, wait: Callable[[], None]) -> None:
        services = make()
        wait()
        results[name] = shared(services, name, MODELS[:60])

    at_once(*(partial(run, name) for name in ("nightly", "keeper")))
    assert world.counts["minted"] == 3
    assert [result.links for result in results.values()] == [60, 60]


# ------------------------------------------------------- which models share a token


class Limited:
    """An API that makes tokens for so many models; ``None`` where that is not known."""

    def __init__(self, most: int | None = None) -> None:
        self.models_per_token = most
        self.limits: list[int] = []

    def limit_models_per_token(self, most: int) -> None:
        self.models_per_token = most
        self.limits.append(most)


def sharing(most: int, limit: int | None = None) -> tuple[TokenSharing, Limited]:
    client: Any = Limited(limit)
    return TokenSharing(client, most), client


def sizes(jobs: list[MintJob]) -> list[int]:
    return [len(job.models) for job in jobs]


def refused(by: TokenSharing, count: int, error: PMEError | None) -> list[MintJob]:
    """What is tried in place of a token for so many models."""
    return by.instead(MintJob(tuple(f"m{number}" for number in range(count))), error)


GONE = PMEModelError("no such model")


@pytest.mark.parametrize(
    ("most", "limit", "share", "line"),
    [
        (1, None, 1, ""),
        (1, 5, 1, ""),
        (3, None, 3, ""),
        (3, 5, 3, ""),
        (3, 3, 3, ""),
        (3, 2, 2, "2 models share a token: the API was found to make none for 3."),
        (3, 1, 1, "Each model gets a link of its own"),
    ],
)
def test_as_many_share_a_token_as_is_wanted_and_the_api_allows(
    caplog: pytest.LogCaptureFixture, most: int, limit: int | None, share: int, line: str
) -> None:
    with caplog.at_level(logging.INFO):
        found, _ = sharing(most, limit)
    assert found.most == share
    lines = [record.message for record in caplog.records if record.name == mint_jobs.__name__]
    assert len(lines) == bool(line)
    assert all(message.startswith(line) for message in lines)


def test_so_many_jobs_are_taken_and_no_model_of_the_next_is_lost() -> None:
    found, _ = sharing(3)
    left = iter("abcdefgh")
    assert [job.models for job in found.jobs(left, 2)] == [("a", "b", "c"), ("d", "e", "f")]
    assert [job.models for job in found.jobs(left, 2)] == [("g", "h")]
    assert found.jobs(left, 2) == []


@pytest.mark.parametrize(
    ("most", "size", "parts"), [(9, 2, [1, 1]), (9, 5, [3, 2]), (9, 8, [4, 4]), (2, 5, [2, 2, 1]), (9, 3, [2, 1])]
)
def test_a_refused_token_is_asked_for_in_halves(most: int, size: int, parts: list[int]) -> None:
    found, client = sharing(most)
    jobs = refused(found, size, GONE)
    assert sizes(jobs) == parts
    assert [model_id for job in jobs for model_id in job.models] == [f"m{number}" for number in range(size)]
    assert client.limits == []


def test_an_api_without_such_tokens_is_asked_for_no_more() -> None:
    found, client = sharing(9)
    assert sizes(refused(found, 4, PMESharedTokenError("no such call"))) == [1, 1, 1, 1]
    assert (client.limits, found.most) == ([1], 1)


@pytest.mark.parametrize(
    ("before", "last", "made", "stops"),
    [([8, 4, 3, 2], 2, 1, True), ([8, 4, 2], 2, 1, False), ([8, 4, 3, 2], 3, 1, False), ([8, 4, 3, 2], 2, 2, False)],
    ids=["five refusals", "four", "of three models", "one was made"],
)
def test_an_api_that_refuses_all_is_asked_for_no_more_after_five_refusals(
    before: list[int], last: int, made: int, stops: bool
) -> None:
    found, client = sharing(9)
    found.note_made(MintJob(tuple("m" * made)))
    for size in before:
        refused(found, size, GONE)
    refused(found, last, GONE)
    assert client.limits == ([1] if stops else [])


def test_an_api_that_makes_tokens_for_fewer_is_asked_for_so_many() -> None:
    found, client = sharing(8)
    first, second = refused(found, 8, GONE)
    found.note_made(first)
    assert client.limits == []
    found.note_made(second)
    assert (client.limits, found.most) == ([4], 4)


def test_a_bad_model_is_no_limit() -> None:
    """A part was made that is as large as one that was refused."""
    found, client = sharing(8)
    first, second = refused(found, 8, GONE)
    found.note_made(first)
    for part in found.instead(second, GONE):
        found.note_made(part)
    assert client.limits == []


@pytest.mark.parametrize(("made_before", "limits"), [(7, [4]), (8, [])])
def test_a_token_that_was_made_for_as_many_shows_that_there_is_no_limit(made_before: int, limits: list[int]) -> None:
    found, client = sharing(9)
    found.note_made(MintJob(tuple("m" * made_before)))
    for part in refused(found, 8, GONE):
        found.note_made(part)
    assert client.limits == limits


def test_tokens_of_one_model_are_no_limit_and_one_that_cannot_be_used_is_no_refusal() -> None:
    found, client = sharing(8)
    for part in refused(found, 2, GONE):
        found.note_made(part)
    jobs = refused(found, 8, None)
    assert [job.split for job in jobs] == [None, None]
    for part in jobs:
        found.note_made(part)
    assert client.limits == []


@pytest.mark.parametrize(
    ("count", "error", "split"),
    [
        (2, GONE, True),
        (1, GONE, False),
        (2, PMEUnavailableError("busy"), False),
        (2, PMECredentialsError("refused"), False),
    ],
)
def test_a_job_is_split_where_fewer_models_may_fare_better(count: int, error: PMEError, split: bool) -> None:
    assert can_be_split(MintJob(tuple("m" * count)), error) is split
