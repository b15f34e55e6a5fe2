"""A sweep that waits: for retirements that fall due one after the other, and for a refused link's turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from pme_airflow.dev.emulator import World
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import links
from pme_airflow.lifecycle.services import Services
from tests.conftest import SECRET
from tests.support.clocks import FakeClock, Waiting
from tests.support.rooms import known_spaces, mint, rows, services_at, sweep

NEXT_WITHIN = timedelta(seconds=20)
InVirtualTime = Callable[[FakeClock], Services]


@pytest.fixture
def in_virtual_time(address: str, tmp_path: Path) -> Iterator[InVirtualTime]:
    """Services over SQLite: the other databases have clocks of their own."""
    made: list[Services] = []

    def make(clock: FakeClock) -> Services:
        made.append(services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET, clock))
        return made[-1]

    yield make
    for services in made:
        services.client.close()


def retiring(services: Services, world: World, *seconds: float) -> Sequence[str]:
    """Models whose links retire after so many seconds each, and whose order is that of the seconds."""
    models = known_spaces(world, len(seconds))
    mint(services, "run", models)
    with services.database.write() as tx:
        for model_id, after in zip(models, seconds, strict=True):
            at = tx.now() + timedelta(seconds=after)
            tx.execute(update(links).where(links.c.model_id == model_id).values(retire_at=at))
    return models


def flag(services: Services, model_id: str) -> None:
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", models=[model_id])


def test_one_sweep_revokes_retirements_that_fall_due_one_after_the_other(
    in_virtual_time: InVirtualTime, world: World
) -> None:
    services = in_virtual_time(FakeClock(start=world.now()))
    models = retiring(services, world, 5, 15, 34, 54, 75)
    result = sweep(services, next_within=NEXT_WITHIN)
    assert [row.model_id for row in result.revoked] == list(models[:4])
    assert max(result.retirement_delays) < 0.1
    assert [row.model_id for row in rows(services, "live")] == [models[4]]


def test_a_sweep_that_is_not_to_wait_leaves_retirements_to_the_next(
    in_virtual_time: InVirtualTime, world: World
) -> None:
    clock = FakeClock(start=world.now())
    services = in_virtual_time(clock)
    retiring(services, world, -1, 1)
    assert sweep(services).revoked.total == 1
    assert clock.monotonic() == 0


def test_a_sweep_waits_five_minutes_in_all(in_virtual_time: InVirtualTime, world: World) -> None:
    clock = FakeClock(start=world.now())
    services = in_virtual_time(clock)
    retiring(services, world, *range(15, 600, 15))
    assert sweep(services, next_within=NEXT_WITHIN).revoked.total == 20
    assert 300 <= clock.monotonic() < 301


def test_a_flag_is_answered_within_a_second_while_a_sweep_waits_and_ends_the_sweep(
    in_virtual_time: InVirtualTime, world: World
) -> None:
    """What heals a dark slot and raises alarms follows the sweep."""
    clock = Waiting(start=world.now())
    services = in_virtual_time(clock)
    models = retiring(services, world, 5, 18, 36)
    flagged: list[float] = []

    def leak() -> None:
        if clock.monotonic() > 8 and not flagged:
            flagged.append(clock.monotonic())
            flag(services, models[2])

    clock.meanwhile = leak
    result = sweep(services, next_within=NEXT_WITHIN)
    assert [row.model_id for row in result.revoked] == [models[0], models[2]]
    assert result.longest_exposure <= 1.1
    assert clock.monotonic() < 11


def test_a_flag_is_answered_within_a_second_while_a_sweep_waits_for_a_refused_links_turn(
    in_virtual_time: InVirtualTime, world: World
) -> None:
    clock = Waiting(start=world.now())
    services = in_virtual_time(clock)
    refused, leaked = retiring(services, world, 3600, 3600)
    flag(services, refused)
    with services.database.write() as tx:
        turn = tx.now() + timedelta(seconds=40)
        tx.execute(update(links).where(links.c.model_id == refused).values(next_attempt_at=turn))
    clock.meanwhile = lambda: flag(services, leaked) if 3 < clock.monotonic() < 4.5 else None
    result = sweep(services)
    assert [row.model_id for row in result.revoked] == [leaked, refused]
    assert min(result.exposure_seconds.values()) <= 1.1
    assert 40 <= clock.monotonic() < 42
