"""The emulator's state: tokens, clock, faults and counters."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pme_airflow.dev.emulator.world import FAULTS, Settings, World, parse_validity, too_long

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def world() -> World:
    world = World(Settings(models={"ModelA": "A"}, token_lifetime=60))
    world.freeze_clock(NOON)
    return world


def test_a_token_is_alive_until_its_end(world: World) -> None:
    issued = world.issue("ModelA", 10)
    assert (issued.issued_at, issued.valid_until) == (NOON, NOON + timedelta(seconds=10))
    assert len(issued.token) == 25
    world.move_clock(9.999)
    assert world.alive() == [issued]
    world.move_clock(0.001)
    assert world.alive() == []


def test_a_token_is_revoked_once(world: World) -> None:
    issued = world.issue("ModelA", 10)
    world.move_clock(5)
    assert world.revoke(issued.token)
    assert issued.revoked_at == NOON + timedelta(seconds=5)
    assert world.alive() == []
    assert not world.revoke(issued.token)
    assert not world.revoke("unknown")
    assert world.counts == {"minted": 1, "revoked": 1}


def test_an_expired_token_is_not_revoked(world: World) -> None:
    issued = world.issue("ModelA", 10)
    world.move_clock(10)
    assert not world.revoke(issued.token)
    assert issued.revoked_at is None


def test_an_application_token_expires(world: World) -> None:
    token, lifetime = world.issue_application_token()
    assert lifetime == 60
    assert world.application_token_state(token) == "valid"
    world.move_clock(59.999)
    assert world.application_token_state(token) == "valid"
    world.move_clock(0.001)
    assert world.application_token_state(token) == "expired"
    assert world.application_token_state("other") == "unknown"


def test_the_clock_runs_unless_it_is_frozen() -> None:
    world = World()
    world.move_clock(3600)
    ahead = world.now() - datetime.now(timezone.utc)
    assert timedelta(seconds=3590) < ahead <= timedelta(seconds=3600)


def test_the_same_seed_gives_the_same_tokens_and_faults() -> None:
    def run(seed: int) -> list[object]:
        world = World(Settings(seed=seed))
        world.set_faults({"slow": 0.5})
        return [world.issue("ModelA", 1).token, *(world.injects("slow") for _ in range(20))]

    assert run(1) == run(1) != run(2)


def test_a_fault_happens_at_its_rate_and_is_counted(world: World) -> None:
    assert not any(world.injects("slow") for _ in range(100))
    world.set_faults({"slow": 1, "cut_body": 0})
    assert all(world.injects("slow") for _ in range(3))
    assert not world.injects("cut_body")
    assert world.counts == {"fault:slow": 3}


def test_setting_faults_replaces_all_of_them(world: World) -> None:
    world.set_faults({"slow": 1})
    world.set_faults({"cut_body": 1})
    assert world.faults == {"cut_body": 1.0}


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"none": 1}, "no fault 'none'"),
        ({"slow": 1.01}, "from 0 to 1"),
        ({"slow": -0.01}, "from 0 to 1"),
        ({"slow": "x"}, "x"),
    ],
)
def test_a_wrong_fault_changes_nothing(world: World, faults: dict[str, float], message: str) -> None:
    world.set_faults({"cut_body": 1})
    with pytest.raises(ValueError, match=message):
        world.set_faults(faults)
    assert world.faults == {"cut_body": 1.0}


def test_every_fault_has_a_description() -> None:
    assert all(FAULTS.values())


def test_the_truth_has_tokens_but_no_secret(world: World) -> None:
    issued = world.issue("ModelA", 10)
    truth = world.truth()
    assert truth["now"] == NOON.isoformat()
    (token,) = truth["tokens"]
    assert (token["token"], token["alive"], token["revoked_at"]) == (issued.token, True, None)
    world.revoke(issued.token)
    assert (world.truth()["tokens"][0]["alive"], world.truth()["tokens"][0]["revoked_at"]) == (False, NOON.isoformat())
    assert truth["settings"]["models"] == 1
    assert world.settings.client_secret not in str(truth)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400), ("30s", 30), ("5m", 300), ("1d", 86400), ("PT10M", 600), ("P1D", 86400), ("P1DT1H1M1S", 90061),
        ("PT", None), ("P", None), ("", None), ("h", None), ("1w", None), ("1 h", None), ("-1h", None), ("٣h", None),
        ("PT10M\n", None), ("1h1m", None),
    ],
)  # fmt: skip
def test_a_validity_is_read_as_the_vendor_writes_it(text: str, seconds: int | None) -> None:
    assert parse_validity(text) == seconds


def test_a_day_is_the_longest_validity() -> None:
    assert not too_long(86400)
    assert too_long(86401)
