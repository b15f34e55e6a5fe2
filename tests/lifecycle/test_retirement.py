"""What a retirement selects, and what its result says of what was cleared, went dark or was not revoked."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError, PMEUnavailableError
from pme_airflow.ledger.publications import Publication, Shown, publish, shown_at
from pme_airflow.ledger.selections import Selection
from pme_airflow.lifecycle.bounded_list import BoundedList
from pme_airflow.lifecycle.retirement import PlacementSlots, RetireRequest, RetireResult
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, MODEL, insert_link, ledger_in_memory, row_of, task

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
SITE = "wordpress:site"


def publication() -> Publication:
    ledger = ledger_in_memory(FakeClock())
    insert_link(ledger, "lnk", NOW, state="live")
    with ledger.write(task()) as tx:
        publish(tx, SITE, [Shown("page", "lnk", {})], claimed=False)
        (found,) = shown_at(tx, SITE)
    return found


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({}, True),
        ({"models": frozenset({MODEL})}, True),
        ({"models": frozenset({"other"})}, False),
        ({"models": frozenset()}, False),
        ({"exclude": frozenset({MODEL})}, False),
        ({"models": frozenset({MODEL}), "exclude": frozenset({MODEL})}, False),
        ({"audience": "other"}, False),
        ({"targets": frozenset({"other"})}, False),
        ({"targets": frozenset({"other", SITE})}, True),
    ],
)
def test_a_placement_names_what_it_publishes(values: dict[str, Any], names: bool) -> None:
    placement = PlacementSlots(**{"audience": AUDIENCE, "targets": frozenset({SITE}), **values})
    assert placement.names(publication()) is names
    request = RetireRequest(unnamed_only=True, placements=(placement,))
    assert request.wants_gone(publication()) is not names
    assert RetireRequest(targets=(SITE,), placements=(placement,)).wants_gone(publication())


@pytest.mark.parametrize(
    "values", [{"audiences": ("a",)}, {"models": ("m",)}, {"targets": ("t",)}, {"unnamed_only": True}]
)
def test_one_criterion_is_enough(values: dict[str, Any]) -> None:
    named = {key: frozenset(value) for key, value in values.items() if key != "unnamed_only"}
    assert RetireRequest(**values, publishers=frozenset({"dag"})).selection("c") == Selection(
        "c", **named, publishers=frozenset({"dag"})
    )


def test_nothing_named_is_refused() -> None:
    with pytest.raises(PMEInputError, match="nothing is named"):
        RetireRequest(publishers=frozenset({"dag"})).selection("c")


def some(*values: Any) -> BoundedList[Any]:
    found: BoundedList[Any] = BoundedList()
    for value in values:
        found.append(value)
    return found


SLOT = {"slot": "page", "target": SITE, "reason": "it is locked"}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({}, True),
        ({"dark": some(SLOT)}, True),
        ({"failed": some(SLOT)}, False),
        ({"not_revoked": some("row")}, True),
        ({"not_revoked": some("row"), "swept": True}, False),
        ({"sweep_error": PMEUnavailableError("away"), "swept": True}, False),
    ],
)
def test_the_promise_is_kept_if_all_is_cleared_and_revoked_where_asked(values: dict[str, Any], kept: bool) -> None:
    result = RetireResult(**values)
    assert result.promise_kept is kept


def test_a_result_says_what_a_person_must_do() -> None:
    ledger = ledger_in_memory(FakeClock())
    insert_link(ledger, "lnk", NOW, state="live", sealed="pme-sealed:v1:k:x")
    result = RetireResult(
        some({"slot": "a"}), some(SLOT), some(SLOT), ("model M",), 2, some(row_of(ledger, "lnk")), True,
        sweep_error=PMEUnavailableError("away"),
    )  # fmt: skip
    assert result.summary == "1 slots cleared, 1 dark, 1 not cleared; 2 links retired, 1 NOT revoked"
    failed, dark, alive, named, ended = result.lines()
    assert failed == f"NOT cleared: page at {SITE}: it is locked."
    assert dark.startswith(f"Dark: page at {SITE}")
    assert "link lnk of model ModelAAAAAA" in alive
    assert "2026-05-02 12:00 UTC" in alive
    assert named.startswith("model M is still named by a placement")
    assert ended == "The sweep ended early: away"
    assert "sealed" not in json.dumps(result.as_json())


def test_without_a_sweep_nothing_is_called_not_revoked() -> None:
    result = RetireResult(not_revoked=some("row"))
    assert "NOT" not in result.summary
    assert result.lines() == []


def test_a_retirement_revokes_what_it_cleared_and_spares_a_place_where_most_would_go() -> None:
    request = RetireRequest(audiences=(AUDIENCE,))
    assert (request.sweep, request.allow_clearing, request.unnamed_only, request.deadline) == (True, False, False, None)
    result = RetireResult()
    assert (result.links, result.swept, result.sweep) == (0, False, None)


def test_a_hundred_of_each_kind_are_named() -> None:
    ledger = ledger_in_memory(FakeClock())
    insert_link(ledger, "lnk", NOW, state="live")
    row = row_of(ledger, "lnk")
    many = RetireResult(
        failed=some(*[SLOT] * 101), dark=some(*[SLOT] * 101), not_revoked=some(*[row] * 101), shared=some(*[row] * 101),
        swept=True,
    )  # fmt: skip
    lines = many.lines()
    for beginning in ("NOT cleared", "Dark", "NOT revoked", "NOT retired"):
        assert sum(line.startswith(beginning) for line in lines) == 100, beginning
    assert not RetireResult(shared=some(row), swept=True).promise_kept
    assert RetireResult(shared=some(row)).promise_kept
