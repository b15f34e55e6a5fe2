from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.ledger.read_model.leaks import ExposureTimes
from pme_airflow.ledger.read_model.slots import SlotFilter
from pme_airflow.plugin.merge import merged_leaks, merged_slots

NOW = "2026-05-01T12:00:00Z"


def page_of(conn_id: str, *states: str) -> dict[str, Any]:
    rows = [
        {"state": state, "valid_until": None, "model_name": None, "model_id": f"{conn_id}{number}"}
        for number, state in enumerate(states)
    ]
    return {"conn_id": conn_id, "now": NOW, "matching": len(rows), "counts": {"total": len(rows)}, "slots": rows}


def test_the_slots_of_several_connections_are_in_one_order() -> None:
    answers = [page_of("a", "dark", "live"), page_of("b", "due", "live")]
    pages = [merged_slots(answers, SlotFilter(), page, 2) for page in (1, 2, 3)]
    assert [[row["state"] for row in page["slots"]] for page in pages] == [["dark", "due"], ["live", "live"], []]
    assert pages[0]["slots"][1]["conn_id"] == "b"
    assert (pages[0]["matching"], pages[0]["pages"], pages[0]["counts"]) == (4, 2, {"total": 4})
    by_model = merged_slots(answers, SlotFilter(order="model", descending=True), 1, 4)
    assert [row["model_id"] for row in by_model["slots"]] == ["b1", "b0", "a1", "a0"]


@pytest.mark.parametrize("answers", [[], [page_of("a")]])
def test_no_slots_are_one_empty_page(answers: list[dict[str, Any]]) -> None:
    assert (
        merged_slots(answers, SlotFilter(), 1, 200)["pages"],
        merged_slots(answers, SlotFilter(), 1, 200)["slots"],
    ) == (1, [])


def test_exposures_are_summed_up_together_and_tombstones_are_listed_once() -> None:
    empty = {"total": 0, "rows": []}
    stone = {"total": 1, "rows": [{"fingerprint": "f"}]}
    lists = dict.fromkeys(("flagged", "revoked", "irrevocable", "unaccounted"), empty)
    answers = [
        {"now": NOW, "exposure_times": ExposureTimes((1.0, 3.0)), **lists, "tombstones": stone},
        {"now": NOW, "exposure_times": ExposureTimes((2.0,), (9.0,)), **lists, "tombstones": stone},
    ]
    merged = merged_leaks(answers)
    assert merged["exposure"] == {"revoked": 3, "median": 2.0, "percentile_95": 3.0, "worst": 9.0}
    assert merged["tombstones"] == stone
