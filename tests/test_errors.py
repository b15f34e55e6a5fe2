from __future__ import annotations

import pytest

from pme_airflow import errors
from pme_airflow.errors import PMEError, PMEInputError, PMEUnavailableError, PMEUnreachableError, SlotError

PASSING = {
    "LedgerConflictError",
    "PMEUnavailableError",
    "PMEUnreachableError",
    "PMELostAnswerError",
    "LedgerUnavailableError",
    "PMEConnectionError",
    "LedgerConnectionError",
}


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "SlotError"])
def test_only_what_may_pass_by_itself_is_not_permanent(name: str) -> None:
    error = getattr(errors, name)("x")
    assert isinstance(error, PMEError)
    assert error.permanent is (name not in PASSING)


def test_a_slots_error_says_whether_it_passes() -> None:
    assert SlotError("x").permanent
    assert not SlotError("x", passing=True).permanent


def test_kinds_that_callers_catch_together_are_related() -> None:
    assert issubclass(PMEUnreachableError, PMEUnavailableError)
    assert issubclass(PMEInputError, ValueError)
