"""The ledger's rules under everything that may happen, and broken copies of each rule that must be caught."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from pme_airflow.errors import PMEError
from tests.support.machine import MUTANTS, SHARED_MUTANTS, LedgerMachine, SharedTokenMachine
from tests.support.scale import scaled

STEPS = 50
#: Those that are caught within seconds; the others stand in the full campaign.
QUICK = [
    "a claim excludes nobody",
    "anything but true counts as revoked",
    "a revoked link's sealed text is kept",
    "a dead link is let into a slot",
]


def _settings(examples: int, *phases: Phase) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=phases or tuple(Phase),
    )


@pytest.mark.timeout(scaled(900, 1800))
@pytest.mark.parametrize("machine", [LedgerMachine, SharedTokenMachine])
def test_the_promises_hold_whatever_happens(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(machine, settings=_settings(scaled(40, 500)))


@pytest.mark.timeout(scaled(900, 1800))
@pytest.mark.parametrize("mutant", scaled(QUICK, list(MUTANTS)))
def test_a_broken_copy_of_a_rule_is_caught(mutant: str) -> None:
    with MUTANTS[mutant](), pytest.raises((AssertionError, PMEError)):
        run_state_machine_as_test(LedgerMachine, settings=_settings(1500, Phase.generate))


@pytest.mark.timeout(scaled(900, 1800))
@pytest.mark.parametrize("mutant", list(SHARED_MUTANTS))
def test_a_broken_copy_of_a_rule_about_shared_tokens_is_caught(mutant: str) -> None:
    with SHARED_MUTANTS[mutant](), pytest.raises((AssertionError, PMEError)):
        run_state_machine_as_test(SharedTokenMachine, settings=_settings(1500, Phase.generate))
