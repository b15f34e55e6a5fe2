"""Minting: which links are reused, which are minted, and how lost answers are accounted for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from unittest import mock

import pytest
from sqlalchemy import func, select, update

from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import MintVerdict, NotMade, Unknown
from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.world import IssuedToken
from pme_airflow.errors import PMECredentialsError, PMEModelError, PMEUnavailableError
from pme_airflow.ledger import flags, mint_requests, mint_runs
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import claims, links
from pme_airflow.lifecycle.account_models import ModelQuery
from pme_airflow.lifecycle.mint import MAX_LOST_RESPONSES
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, demand, mint, publish, rows, sweep
from tests.support.together import at_once

ALL = list(MODELS)
HALF = timedelta(hours=12)


def test_a_row_is_committed_before_its_mint_is_sent(services: Services, make_services: MakeServices) -> None:
    other = make_services()
    seen: list[int] = []
    send = services.client.mint

    def watched(requests: list[MintRequest]) -> list[MintVerdict]:
        models = [request.model_id for request in requests]
        with other.database.read() as tx:
            query = select(func.count()).where(links.c.model_id.in_(models), links.c.state == "minting")
            seen.append(tx.scalar(query) or 0)
        return send(requests)

    with mock.patch.object(services.client, "mint", watched):
        mint(services, "run", ALL[:25])
    assert sorted(seen) == [5, 10, 10]


def test_a_retry_finds_its_own_links_and_another_run_renews(services: Services, world: World) -> None:
    first = mint(services, "monday", ALL[:3])
    again = mint(services, "monday", ALL[:3])
    assert [item["link_id"] for item in again.items] == [item["link_id"] for item in first.items]
    assert (again.minted, again.reused) == (0, 3)
    other = mint(services, "tuesday", ALL[:3])
    assert other.minted == 3
    assert world.counts["minted"] == 6


def test_a_link_with_enough_left_is_reused_without_a_request(services: Services, world: World) -> None:
    mint(services, "monday", ALL[:3])
    before = dict(world.counts)
    kept = mint(services, "keeper", ALL[:3], demand(renew_before=HALF))
    assert kept.reused == 3
    assert world.counts == before


def test_what_has_less_is_renewed(services: Services, make_services: MakeServices, world: World) -> None:
    mint(services, "monday", ALL[:3])
    world.move_clock(12 * 3600 + 60)
    later = make_services()
    later.client.sync_clock()
    assert mint(later, "keeper", ALL[:3], demand(renew_before=HALF)).minted == 3


@pytest.mark.parametrize("lead", [-600, 600])
def test_a_clock_ten_minutes_off_neither_renews_late_nor_early(
    make_services: MakeServices, world: World, lead: int
) -> None:
    clock = FakeClock(start=world.now(), lead=timedelta(seconds=lead))
    mint(make_services(clock), "monday", ALL[:2])
    for passed, renewed in ((12 * 3600 - 60, 0), (120, 2)):
        world.move_clock(passed)
        clock.advance(passed)
        assert mint(make_services(clock), f"keeper{passed}", ALL[:2], demand(renew_before=HALF)).minted == renewed


def test_two_runs_at_once_mint_once_and_share(make_services: MakeServices, world: World) -> None:
    world.set_faults({"slow": 1.0})
    outcomes = {}

    def run(name: str, wait: Callable[[], None]) -> None:
        services = make_services()
        services.database.prepare()
        wait()
        outcomes[name] = mint(services, name, ALL)

    at_once(*(partial(run, name) for name in ("nightly", "keeper", "manual")))
    assert world.counts["minted"] == len(ALL)
    shared = [{item["model_id"]: item["link_id"] for item in outcome.items} for outcome in outcomes.values()]
    assert shared[0] == shared[1] == shared[2]


@pytest.mark.parametrize("verdict", [NotMade(PMEModelError("gone"), resend=False), Unknown("the connection broke")])
def test_a_model_that_failed_keeps_no_other_run_waiting(
    make_services: MakeServices, monkeypatch: pytest.MonkeyPatch, verdict: MintVerdict
) -> None:
    """Two runs that each keep the claim of a model that the other one wants would wait for each other for ever."""
    monkeypatch.setattr("pme_airflow.lifecycle.mint_worker.MAX_LOST_RESPONSES", 1)
    services = make_services(batch_size=1, max_concurrency=1)
    other = make_services()
    send = services.client.mint
    claimed: list[set[str]] = []

    def watched(requests: list[MintRequest]) -> list[MintVerdict]:
        with other.database.read() as tx:
            claimed.append(set(tx.scalars(select(claims.c.claim_key))))
        if requests[0].model_id == "NoSuchModel":
            return [verdict]
        return send(requests)

    with mock.patch.object(services.client, "mint", watched):
        outcome = mint(services, "run", ["NoSuchModel", *ALL[:3]])
    assert [failure.model_id for failure in outcome.failures] == ["NoSuchModel"]
    key = demand().claim_key("NoSuchModel")
    assert key in claimed[0]
    assert key not in claimed[-1]


@pytest.mark.timeout(60)
def test_two_runs_with_the_same_bad_models_in_other_orders_both_end(make_services: MakeServices, world: World) -> None:
    world.set_faults({"slow": 1.0})
    failed = {}

    def run(name: str, models: list[str], wait: Callable[[], None]) -> None:
        services = make_services(batch_size=1, max_concurrency=1)
        services.database.prepare()
        wait()
        failed[name] = {failure.model_id for failure in mint(services, name, models).failures}

    models = ["NoSuchModelA", *ALL[:4], "NoSuchModelB"]
    at_once(partial(run, "nightly", models), partial(run, "keeper", models[::-1]))
    assert failed["nightly"] == failed["keeper"] == {"NoSuchModelA", "NoSuchModelB"}


def test_one_bad_model_fails_alone_and_by_name(services: Services) -> None:
    outcome = mint(services, "run", [*ALL, "NoSuchModel"])
    assert len(outcome.items) == len(ALL)
    (failure,) = outcome.failures
    assert (failure.model_id, failure.permanent) == ("NoSuchModel", True)


@pytest.mark.parametrize("fault", ["lost_after", "made_but_null", "bad_gateway_after", "cut_body"])
def test_a_lost_answer_is_accounted_for(services: Services, world: World, fault: str) -> None:
    world.set_faults({fault: 0.5})
    outcome = mint(services, "run", ALL[:10])
    known = {row.fingerprint for row in rows(services) if row.fingerprint}
    hidden = [issued for issued in world.alive() if fingerprint(AccessToken(issued.token)) not in known]
    cover = rows(services, "unaccounted")
    assert len(hidden) <= len(cover)
    assert len(outcome.items) + len(outcome.failures) == 10
    for issued in hidden:
        assert any(r.model_id == issued.model_id and r.valid_until >= issued.valid_until for r in cover)


def test_a_network_that_loses_everything_breeds_no_more_than_five_tokens_a_model(
    services: Services, world: World
) -> None:
    world.set_faults({"lost_after": 1.0})
    outcome = mint(services, "run", ALL[:2])
    assert {failure.model_id for failure in outcome.failures} == set(ALL[:2])
    assert len(rows(services, "unaccounted")) == 2 * MAX_LOST_RESPONSES


def test_a_late_owner_uses_no_link_of_its_own(services: Services, make_services: MakeServices, world: World) -> None:
    """Its claim passes while its request is under way; the next run mints anew, and the late link is retired."""
    other = make_services()
    send = services.client.mint

    def late(requests: list[MintRequest]) -> list[MintVerdict]:
        verdicts = send(requests)
        if not rows(services, "live"):
            with other.database.write() as tx:
                tx.execute(update(claims).values(expires_at=other.clock.now() - timedelta(seconds=1)))
            mint(other, "second", ALL[:1])
        return verdicts

    with mock.patch.object(services.client, "mint", late):
        outcome = mint(services, "first", ALL[:1])
    (item,) = outcome.items
    newest, oldest = rows(services, "live")
    assert item["link_id"] == newest.link_id
    assert oldest.retire_at is not None
    assert newest.retire_at is None


def test_what_a_killed_worker_left_becomes_unaccounted_when_the_next_run_meets_it(services: Services) -> None:

    dead = RunContext("dag/run/mint/-1", process=RunContext("x").process.rsplit("|", 2)[0] + "|999999|1")
    with services.database.write(dead) as tx:
        mint_run = mint_runs.begin(tx)
        mint_requests.prepare(tx, mint_run, demand(), ALL[:1], services.server_now(), lambda _: True)
    assert mint(services, "next", ALL[:1]).minted == 1
    (left,) = rows(services, "unaccounted")
    assert left.valid_until - left.requested_at >= timedelta(hours=24)


def test_a_token_flagged_before_it_was_known_is_revoked_at_once(services: Services, world: World) -> None:
    send = services.client.mint

    def leaked(requests: list[MintRequest]) -> list[MintVerdict]:
        verdicts = send(requests)
        leaked_one = fingerprint(verdicts[0].link.access_token)  # type: ignore[union-attr]
        if not rows(services, "live"):
            with services.database.write(RunContext("cli")) as tx:
                found = flags.flag(tx, "seen", fingerprints=[leaked_one])
            assert found.tombstones == (leaked_one,)
        return verdicts

    with mock.patch.object(services.client, "mint", leaked):
        outcome = mint(services, "run", ALL[:1])
    assert len(sweep(services).revoked) == 1
    (alive,) = world.alive()
    assert fingerprint(AccessToken(alive.token)) == outcome.items[0]["fingerprint"]


def test_twenty_percent_lost_answers_and_worse(services: Services, world: World) -> None:
    """200 of 200 get a link, every lost token is covered, and no more is minted than slots plus lost answers."""
    models = [f"Extra{index:06d}" for index in range(200)]
    for model_id in models:
        world.models[model_id] = {"name": model_id, "state": "active", "visibility": "private"}
    world.set_faults({"lost_after": 0.2, "made_but_null": 0.05, "bad_gateway": 0.1, "lost_before": 0.1})
    outcome = mint(services, "run", models)
    failed = {failure.model_id for failure in outcome.failures}
    world.set_faults({})
    if failed:
        outcome = mint(services, "run", models)
    shelf = Shelf()
    assert len(publish(services, "run", shelf, outcome.items).published) == len(shelf.shown) == 200
    unaccounted = rows(services, "unaccounted")
    known = {row.fingerprint for row in rows(services) if row.fingerprint}
    hidden = [issued for issued in world.alive() if fingerprint(AccessToken(issued.token)) not in known]
    for model_id in models:
        ours = [row for row in unaccounted if row.model_id == model_id]
        assert len([issued for issued in hidden if issued.model_id == model_id]) <= len(ours)
    assert world.counts["minted"] <= 200 + len(unaccounted)


def test_the_account_that_cannot_be_listed_is_renewed_by_what_is_known(services: Services) -> None:
    mint(services, "one", ModelQuery("*"))
    refused = PMEUnavailableError("The list is not available.")
    with mock.patch.object(services.client, "models", side_effect=refused) as listing:
        renewed = mint(services, "two", ModelQuery("*"))
    assert listing.called
    assert {item["model_id"] for item in renewed.items} == set(ALL)
    assert (renewed.minted, renewed.failures.total) == (len(ALL), 0)


def test_where_no_known_model_needs_a_link_the_account_is_not_listed(services: Services) -> None:
    first = mint(services, "one", ModelQuery("*"))
    with mock.patch.object(services.client, "models", side_effect=AssertionError) as listing:
        kept = mint(services, "two", ModelQuery("*"), demand(renew_before=HALF))
    assert not listing.called
    assert [item["link_id"] for item in kept.items] == [item["link_id"] for item in first.items]


def test_a_token_that_comes_back_for_the_same_model_is_reused_and_stays_shown(services: Services, world: World) -> None:
    """An API may answer with the token that it made before while that lives."""
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", ALL[:3]).items)
    before = {issued.model_id: issued for issued in world.alive()}
    world.move_clock(600)

    def again(model_id: str, seconds: int, more_models: object = ()) -> IssuedToken:
        before[model_id].valid_until = world.now() + timedelta(seconds=seconds)
        return before[model_id]

    with mock.patch.object(world, "issue", again):
        result = mint(services, "tuesday", ALL[:3])
    assert (result.minted, result.reused, result.failures.total) == (0, 3, 0)
    assert publish(services, "tuesday", shelf, result.items).failed.total == 0
    world.move_clock(3600)
    sweep(services)
    alive = {issued.token: issued.valid_until for issued in world.alive()}
    assert set(shelf.shown.values()) == set(alive)
    live = rows(services, "live")
    ends = {until.replace(microsecond=0) for until in alive.values()}
    assert {row.valid_until.replace(microsecond=0) for row in live} == ends
    assert len({row.fingerprint for row in live}) == len(live) == 3


def test_a_token_of_another_model_or_audience_is_used_by_nobody_else(services: Services, world: World) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", ALL[:1]).items)
    (first,) = world.alive()
    with mock.patch.object(world, "issue", return_value=first):
        other_model = mint(services, "tuesday", ALL[1:3])
        other_audience = mint(services, "tuesday", ALL[:1], demand(audience="portal"))
    for result in (other_model, other_audience):
        assert result.links == 0
        assert all("is not used twice" in failure.reason for failure in result.failures)
    (row,) = rows(services, "live")
    assert (row.retire_at, row.opens) == (None, (ALL[0],))
    sweep(services)
    assert set(shelf.shown.values()) == {issued.token for issued in world.alive()}


def test_a_flagged_token_that_comes_back_is_not_used(services: Services, world: World) -> None:
    (item,) = mint(services, "monday", ALL[:1]).items
    (first,) = world.alive()
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", link_ids=[item["link_id"]])
    with mock.patch.object(world, "issue", return_value=first):
        assert mint(services, "tuesday", ALL[:1]).links == 0
    assert sweep(services).promise_kept
    assert mint(services, "wednesday", ALL[:1]).links == 1


def test_credentials_that_are_refused_end_the_run_with_that_error(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(requests: list[MintRequest]) -> list[MintVerdict]:
        raise PMECredentialsError("the client secret is refused")

    monkeypatch.setattr(services.client, "mint", refused)
    with pytest.raises(PMECredentialsError, match="the client secret is refused"):
        mint(services, "run", ALL[:2])
    assert {row.state.value for row in rows(services)} == {"failed"}


def test_a_defect_of_a_request_counts_as_a_lost_answer(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(requests: list[MintRequest]) -> list[MintVerdict]:
        raise ZeroDivisionError

    monkeypatch.setattr(services.client, "mint", broken)
    assert mint(services, "run", ALL[:1]).items == []
    assert "was lost (ZeroDivisionError in the worker)" in caplog.text
    assert {row.state.value for row in rows(services)} == {"unaccounted"}
