"""The table of dependencies has each direct one with why it is here, its weight and its newest release."""

from __future__ import annotations

import re
from datetime import date

import pytest

from tests.support import dependencies
from tests.support.dependencies import PAGE, closure, direct_requirements, release_months, rows_of, size_of

ROWS = {name.strip(): row for names, row in rows_of(PAGE.read_text()).items() for name in names.split(",")}


def test_every_direct_dependency_has_a_row_and_no_other() -> None:
    assert set(ROWS) == {requirement.name for requirement in direct_requirements()}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_has_weight_release_and_reason(name: str) -> None:
    _, with_airflow, size, adds, released, reason, _ = ROWS[name]
    assert re.fullmatch(r"[\d.]+ MB", size)
    assert bool(adds) == (with_airflow != "yes")
    assert re.search(r"[\w.]+, (20\d\d-\d\d|over \d+ months ago)", released)
    assert len(reason) > 5
    assert (name in closure("apache-airflow")) == (with_airflow == "yes")


def test_size_and_closure_are_of_what_is_installed() -> None:
    assert size_of("click") > 100_000
    assert size_of("there-is-no-such-package") == 0
    assert {"alembic", "sqlalchemy"} <= closure("alembic")


def test_a_release_is_of_the_month_before_which_it_was_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    released = {"new": date(2026, 11, 3), "older": date(2026, 9, 30), "oldest": date(2020, 1, 1)}

    def newest(names: list[str], before: date | None = None) -> dict[str, str]:
        return {name: "2.0" if before is None or released[name] < before else "1.0" for name in names}

    monkeypatch.setattr(dependencies, "newest", newest)
    assert release_months(list(released), date(2026, 11, 26)) == {
        "new": "2.0, 2026-11", "older": "2.0, 2026-09", "oldest": "2.0, over 24 months ago",
    }  # fmt: skip
