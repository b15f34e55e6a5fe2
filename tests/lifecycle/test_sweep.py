"""Revoked means confirmed: order, retries, what is irrevocable, and two sweeps at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from unittest import mock

import pytest
from sqlalchemy import update

from pme_airflow.api.outcomes import RevokeVerdict
from pme_airflow.api.token_probe import Liveness
from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerUnavailableError, PMECredentialsError, PMEUnavailableError
from pme_airflow.ledger import flags, sweep_queue
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import links
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest
from pme_airflow.lifecycle.sweep_result import SweepResult
from pme_airflow.lifecycle.token_probe import find_probe
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.conftest import MODELS, MakeServices
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.clocks import FakeClock
from tests.support.rooms import demand, mint, rows, sweep
from tests.support.together import at_once

ALL = list(MODELS)


def flag(services: Services, **what: list[str]) -> flags.Flagged:
    with services.database.write(RunContext("cli")) as tx:
        return flags.flag(tx, "leaked", **what)  # type: ignore[arg-type]


def hurry(services: Services) -> None:
    """Make what waits to be tried again due now."""
    with services.database.write() as tx:
        tx.execute(update(links).values(next_attempt_at=None))


def test_a_flagged_link_is_revoked_and_its_sealed_text_erased(services: Services, world: World) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    flag(services, fingerprints=[item["fingerprint"]])
    sweep(services)
    (row,) = rows(services)
    assert world.alive() == []
    assert (row.state.value, row.sealed, row.fingerprint) == ("revoked", None, item["fingerprint"])
    assert row.flagged_at is not None
    assert row.revoked_at is not None
    assert row.revoked_at >= row.flagged_at


def test_bystanders_stay_alive(services: Services, world: World) -> None:
    items = mint(services, "run", ALL).items
    flag(services, models=ALL[:5], fingerprints=[items[7]["fingerprint"]], link_ids=[items[9]["link_id"]])
    sweep(services)
    assert {issued.model_id for issued in world.alive()} == set(ALL) - {*ALL[:5], ALL[7], ALL[9]}


def test_leaks_go_before_retirements_newest_and_longest_lived_first(make_services: MakeServices) -> None:
    services = make_services(batch_size=1, max_concurrency=1)
    mint(services, "run", ALL[:2], demand("2h"))
    mint(services, "run", ALL[2:4], demand("24h"))
    mint(services, "run", ALL[4:6], demand("12h"))
    with services.database.write() as tx:
        due = tx.now() - timedelta(minutes=1)
        tx.execute(update(links).where(links.c.model_id.in_(ALL[4:6])).values(retire_at=due))
    flag(services, models=ALL[:4])
    order: list[str] = []
    send = services.client.revoke
    known = {row.fingerprint: row.model_id for row in rows(services)}

    def watched(tokens: list[AccessToken]) -> list[RevokeVerdict]:
        order.extend(known[fingerprint(token)] for token in tokens)
        return send(tokens)

    with mock.patch.object(services.client, "revoke", watched):
        sweep(services)
    assert order == [ALL[3], ALL[2], ALL[1], ALL[0], ALL[5], ALL[4]]


def test_only_true_counts_and_after_max_attempts_it_is_irrevocable_and_alarmed_once(
    services: Services, world: World
) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    flag(services, fingerprints=[item["fingerprint"]])
    world.set_faults({"lying_false": 1.0})
    irrevocable = []
    for _ in range(4):
        irrevocable += sweep(services, max_attempts=3).irrevocable
        hurry(services)
    (row,) = rows(services)
    assert (row.state.value, row.irrevocable) == ("live", True)
    assert row.revoke_attempts >= 3
    assert len(irrevocable) == 1
    world.set_faults({})
    hurry(services)
    sweep(services)
    (row,) = rows(services)
    assert (row.state.value, row.irrevocable) == ("revoked", False)


def test_a_long_sweep_in_which_all_is_denied_goes_on(make_services: MakeServices, world: World) -> None:
    """Minutes of nothing but ``false``: progress is logged, nothing fails."""
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    mint(services, "run", ALL[:3])
    flag(services, audiences=["intranet"])
    world.set_faults({"lying_false": 1.0})
    send = services.client.revoke

    def slowly(tokens: list[AccessToken]) -> list[RevokeVerdict]:
        clock.advance(10)
        return send(tokens)

    with mock.patch.object(services.client, "revoke", slowly):
        assert len(sweep(services, max_attempts=1).irrevocable) == 3


def test_false_on_a_token_past_its_end_is_expired(services: Services, world: World) -> None:
    (item,) = mint(services, "run", ALL[:1], demand("30s")).items
    flag(services, fingerprints=[item["fingerprint"]])
    world.move_clock(40)
    sweep(services)
    (row,) = rows(services)
    assert (row.state.value, row.sealed) == ("expired", None)


def test_a_lost_revocation_is_asked_for_again_until_it_is_confirmed(services: Services, world: World) -> None:
    mint(services, "run", ALL[:10])
    flag(services, audiences=["intranet"])
    world.set_faults({"lost_before": 0.3, "bad_gateway": 0.2, "throttled": 0.1})
    sweep(services, max_attempts=50)
    assert world.alive() == []
    assert {row.state.value for row in rows(services)} == {"revoked"}


def test_a_sweep_that_outlives_its_application_token_goes_on(make_services: MakeServices, world: World) -> None:
    services = make_services(batch_size=2, max_concurrency=1)
    mint(services, "run", ALL)
    flag(services, audiences=["intranet"])
    world.set_faults({"expired_token": 0.4})
    sweep(services)
    assert world.alive() == []


def test_verify_asks_the_link_itself(services: Services) -> None:
    mint(services, "run", ALL[:2])
    flag(services, audiences=["intranet"])
    sweep(services, verify=True)
    assert {row.verified for row in rows(services)} == {"HTTP 401"}


def test_two_sweeps_at_once_share_the_work(make_services: MakeServices, world: World) -> None:
    mint(make_services(), "run", ALL)
    flag(make_services(), audiences=["intranet"])
    sweepers = [make_services(batch_size=1, max_concurrency=2) for _ in range(2)]

    def run(services: Services, wait: Callable[[], None]) -> None:
        wait()
        sweep(services)

    at_once(*(partial(run, services) for services in sweepers))
    assert world.alive() == []
    assert world.counts["deletes"] == len(ALL)


def test_a_killed_sweeps_work_is_picked_up_by_the_next(services: Services, world: World) -> None:
    mint(services, "run", ALL[:4])
    flag(services, audiences=["intranet"])
    with services.database.write(RunContext("dead")) as tx:
        taken = sweep_queue.take_due(tx, "emulator-client", 4)
    assert len(taken) == 4
    with services.database.write() as tx:
        tx.execute(update(links).values(sweep_until=services.clock.now() - timedelta(seconds=1)))
    sweep(services)
    assert world.alive() == []


def test_what_ended_on_its_own_is_closed(services: Services, world: World, make_services: MakeServices) -> None:
    mint(services, "run", ALL[:3], demand("1h"))
    world.set_faults({"lost_after": 1.0})
    mint(services, "run", ALL[3:4], demand("1h"))
    world.set_faults({})
    world.move_clock(2 * 3600)
    later = make_services()
    later.client.sync_clock()
    sweep(later)
    assert {row.state.value for row in rows(later)} == {"expired"}
    assert {row.sealed for row in rows(later)} == {None}


def test_a_sweep_revokes_retirements_too_and_gives_up_after_six_tries() -> None:
    request = SweepRequest()
    assert (request.max_attempts, request.verify, request.flagged_only, request.deadline) == (6, False, False, None)
    nothing = SweepResult()
    assert (nothing.expired, nothing.longest_exposure, nothing.client_id) == (0, 0.0, "")


def test_a_sweep_whose_ledger_went_away_does_not_say_that_nothing_leaked_is_alive(services: Services) -> None:
    mint(services, "run", ALL[:1])
    asked: list[int] = []

    def away() -> object:
        asked.append(1)
        raise LedgerUnavailableError("the ledger cannot be reached")

    with mock.patch.object(services.client, "revoke", side_effect=PMEUnavailableError("busy")):
        flag(services, models=ALL[:1])
        with mock.patch.object(services.database, "read", away):
            result = sweep(services, flagged_only=True)
    assert asked
    assert not result.promise_kept
    assert "ledger went away" in result.lines()[0]


def test_a_link_that_does_not_answer_or_still_works_is_recorded_as_such(
    shared_services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services = shared_services
    mint(services, "run", SHARED_MODELS[:1])
    flag(services, audiences=["intranet"])
    with mock.patch.object(services.client, "probe_link", return_value=None):
        sweep(services, verify=True)
    assert [row.verified for row in rows(services)] == ["no answer"]
    find_probe(services, RunContext("dag/run/probe/-1"), SHARED_MODELS[0])
    mint(services, "run", SHARED_MODELS[1:2])
    flag(services, audiences=["intranet"])
    with mock.patch.object(services.client, "probe_token", return_value=Liveness.ALIVE):
        sweep(services, verify=True)
    newest, *_ = rows(services)
    assert newest.verified == "alive (query)"
    assert f"Link {newest.link_id} of model {SHARED_MODELS[1]} was confirmed revoked and still works." in caplog.text


def test_a_sweep_of_leaks_alone_leaves_retirements_and_ended_links(shared_services: Services) -> None:
    services = shared_services
    leaked, replaced, ended = mint(services, "run", SHARED_MODELS[:3]).items
    flag(services, link_ids=[leaked["link_id"]])
    with services.database.write() as tx:
        now = tx.now()
        for item, values in ((replaced, {"retire_at": now}), (ended, {"valid_until": now - timedelta(hours=1)})):
            tx.execute(update(links).where(links.c.link_id == item["link_id"]).values(values))
    result = sweep(services, flagged_only=True)
    assert (result.revoked.total, result.expired) == (1, 0)
    assert {row.link_id for row in rows(services, "live")} == {replaced["link_id"], ended["link_id"]}
    result = sweep(services)
    assert (result.revoked.total, result.expired) == (1, 1)
    assert rows(services, "live") == []


def test_a_long_sweep_logs_how_many_it_revoked(shared_services: Services, caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(shared_services.clock.now())
    services = replace(shared_services, clock=clock)
    mint(services, "run", SHARED_MODELS[:2])
    flag(services, audiences=["intranet"])
    send = services.client.revoke

    def slowly(tokens: list[AccessToken]) -> list[RevokeVerdict]:
        clock.advance(10)
        return send(tokens)

    with caplog.at_level(logging.INFO), mock.patch.object(services.client, "revoke", slowly):
        sweep(services)
    assert "revoking: 2, 0 a second." in [record.message for record in caplog.records]


def test_more_ended_links_than_one_page_are_closed_and_counted(shared_services: Services) -> None:
    services = shared_services
    with services.database.write() as tx:
        long_ago = tx.now() - timedelta(days=2)
        same = {"client_id": services.client.client_id, "model_id": "m", "audience": "a", "state": "live", "run": "r",
                "run_uid": "u", "valid_for": 60, "requested_at": long_ago, "valid_until": long_ago,
                "revoke_attempts": 0, "irrevocable": False}  # fmt: skip
        insert_rows(tx, links, {"link_id": [f"lnk_{number}" for number in range(1001)]}, same)
    assert sweep(services).expired == 1001
    assert {row.state.value for row in rows(services)} == {"expired"}
    assert sweep(services).expired == 0


def test_credentials_that_are_refused_end_a_sweep_with_that_error(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    mint(services, "run", ALL[:2])
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "a leak", link_ids=[row.link_id for row in rows(services)])

    def refused(tokens: list[AccessToken]) -> list[RevokeVerdict]:
        raise PMECredentialsError("the client secret is refused")

    monkeypatch.setattr(services.client, "revoke", refused)
    with pytest.raises(PMECredentialsError, match="the client secret is refused"):
        sweep(services)
    assert {row.state.value for row in rows(services)} == {"live"}
