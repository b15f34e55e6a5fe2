"""A trial of the API with links of a minute leaves none alive, whatever the API does."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.clock import ServerClock
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.doctor import CheckResult, Verdict
from pme_airflow.doctor.mint_trial import try_minting
from pme_airflow.secrets import SecretStr
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock

ONE = next(iter(MODELS))


class WorldClock(FakeClock):
    """A clock that the emulator's goes with."""

    def __init__(self, world: World) -> None:
        super().__init__(datetime(2026, 11, 26, 12, tzinfo=timezone.utc))
        self.world = world
        world.freeze_clock(self.now())

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.world.move_clock(seconds)


def client_at(world: World, address: str, clock: WorldClock) -> PMEClient:
    settings = ClientSettings(timeout=5, deadline=2)
    return PMEClient(world.settings.client_id, SecretStr(SECRET), address, settings, clock)


def run(world: World, clock: WorldClock | None = None) -> dict[str, CheckResult]:
    clock = clock or WorldClock(world)
    with serving(world) as address, client_at(world, address, clock) as c:
        found = list(try_minting(c, clock, ONE))
    return {result.check: result for result in found}


def test_trial_of_a_good_api_is_good_and_leaves_no_live_link(world: World) -> None:
    found = run(world)
    assert {result.verdict for result in found.values()} == {Verdict.GOOD}, found
    assert world.alive() == []
    assert len(world.tokens) == 3
    assert "guide's names" in found["spelling"].finding
    assert "1m, PT60S, 30s" in found["validFor"].finding
    assert found["revoke an expired token"].finding == "The API answered false."
    assert not any(token in str(found) for token in world.tokens)


def make(**settings: Any) -> World:
    return World(Settings(client_secret=SECRET, models=MODELS, **settings))


def test_trial_names_what_differs() -> None:
    found = run(make(second_spelling=True))
    assert "FAQ's names" in found["spelling"].finding
    single = make(max_aliases=1)
    assert run(single)["batches"].verdict is Verdict.WARNING
    assert single.alive() == []


@pytest.mark.parametrize(
    ("faults", "check", "verdict"),
    [
        ({"lying_false": 1.0}, "revoke a live token", Verdict.BAD),
        ({"lost_after": 1.0}, "mint", Verdict.BAD),
        ({"made_but_null": 1.0}, "mint", Verdict.BAD),
    ],
    ids=["revocation that is denied", "response that is lost", "link that is not in the response"],
)  # fmt: skip
def test_trial_names_links_that_may_be_alive(
    world: World, faults: dict[str, float], check: str, verdict: Verdict
) -> None:
    world.set_faults(faults)
    found = run(world)
    assert found[check].verdict is verdict
    left = found["leave nothing"]
    assert left.verdict is not Verdict.GOOD
    assert len(world.alive()) >= 1
    assert not any(token in str(found) for token in world.tokens)


def give_a_day(world: World) -> None:
    """Let the API make links of a day, however short a life is requested."""
    issue = world.issue
    world.issue = lambda model_id, asked: issue(model_id, 86_400)  # type: ignore[method-assign]


def test_trial_does_not_wait_for_the_end_of_a_link_that_lives_longer_than_requested(world: World) -> None:
    give_a_day(world)
    clock = WorldClock(world)
    started = clock.monotonic()
    found = run(world, clock)
    assert clock.monotonic() - started < 60
    skipped = found["revoke an expired token"]
    assert skipped.verdict is Verdict.WARNING
    assert "live until 2026-11-27 12:0" in skipped.finding
    assert found["leave nothing"].verdict is Verdict.GOOD
    assert world.alive() == []


def test_trial_names_each_link_that_lives_longer_than_requested_and_is_not_revoked(world: World) -> None:
    give_a_day(world)
    world.set_faults({"lying_false": 1.0})
    clock = WorldClock(world)
    with serving(world) as address, client_at(world, address, clock) as client:
        left = [r for r in try_minting(client, clock, ONE) if r.check == "leave nothing"]
    assert len(left) == len(world.alive()) == 3
    assert all("may be alive until 2026-11-27 12:0" in result.finding for result in left)


def test_trial_does_not_call_a_link_over_by_this_machines_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerClock, "observe", lambda self, header: None)
    world.set_faults({"lying_false": 1.0})
    clock = WorldClock(world)
    clock.advance(600)
    with serving(world) as address, client_at(world, address, clock) as client:
        left = [r for r in try_minting(client, clock, ONE) if r.check == "leave nothing"]
    assert [result.verdict for result in left] == [Verdict.BAD] * 3


def test_trial_of_a_model_that_is_refused_says_so(world: World) -> None:
    world.models[ONE]["state"] = "inactive"
    found = run(world)
    assert "model.inactive" in found["mint"].finding
    assert world.alive() == []


def test_trial_that_is_interrupted_revokes_its_links(world: World) -> None:
    clock = WorldClock(world)
    with serving(world) as address, PMEClient(world.settings.client_id, SecretStr(SECRET), address, clock=clock) as c:
        trial = try_minting(c, clock, ONE)
        assert next(trial).check == "mint"
        assert len(world.alive()) == 3
        with pytest.raises(KeyboardInterrupt):
            trial.throw(KeyboardInterrupt())
    assert world.alive() == []


def test_unlicensed_account_is_named(world: World) -> None:
    world.licensed = False
    found = run(world)
    assert found["mint"].verdict is Verdict.BAD
    assert found["mint"].cure
