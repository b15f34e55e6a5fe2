"""One answer from the answers of several connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pme_airflow.ledger.read_model.leaks import ExposureTimes
from pme_airflow.ledger.read_model.rules import SlotState
from pme_airflow.ledger.read_model.slots import SlotFilter
from pme_airflow.lifecycle.overview import json_of

__all__ = ["merged_leaks", "merged_slots", "sorted_rows"]

_URGENCY = {state.value: rank for rank, state in enumerate(SlotState)}
_LISTS = ("flagged", "revoked", "irrevocable", "unaccounted", "tombstones")
Row = Mapping[str, Any]


def sorted_rows(rows: Sequence[Row], which: SlotFilter) -> list[Row]:
    """Return rows in the order that each connection's rows have."""
    keys: dict[str, Callable[[Row], Any]] = {
        "state": lambda row: (_URGENCY[row["state"]], row["valid_until"] or ""),
        "model": lambda row: (row["model_name"] or row["model_id"], row["model_id"]),
    }
    key = keys.get(which.order, lambda row: row[which.order] or "")
    return sorted(rows, key=key, reverse=which.descending)


def merged_slots(answers: Sequence[Mapping[str, Any]], which: SlotFilter, page: int, size: int) -> dict[str, Any]:
    """Merge pages of slots. With several connections each answer has all rows up to the page's end."""
    rows = [{**row, "conn_id": answer["conn_id"]} for answer in answers for row in answer["slots"]]
    if len(answers) > 1:
        rows = [dict(row) for row in sorted_rows(rows, which)[(page - 1) * size : page * size]]
    matching = sum(answer["matching"] for answer in answers)
    counts: Counter[str] = Counter()
    for answer in answers:
        counts.update(answer.get("counts", {}))
    return {
        "now": max((answer["now"] for answer in answers), default=None),
        "counts": dict(counts),
        "matching": matching,
        "page": page,
        "pages": max(1, -(-matching // size)),
        "page_size": size,
        "slots": rows,
    }


def merged_leaks(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge reports of leaks."""
    lists = {name: _merged_list([answer[name] for answer in answers]) for name in _LISTS}
    exposure_times = [answer["exposure_times"] for answer in answers]
    exposure = ExposureTimes(
        tuple(value for each in exposure_times for value in each.ended),
        tuple(value for each in exposure_times for value in each.running),
    ).summary()
    now = max((answer["now"] for answer in answers), default=None)
    return {"now": now, "exposure": json_of(exposure), **lists}


def _merged_list(lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge lists; connections that share a ledger list the same tombstones, which are kept once."""
    rows = {row.get("link_id") or row["fingerprint"]: row for found in lists for row in found["rows"]}
    doubled = sum(len(found["rows"]) for found in lists) - len(rows)
    return {"total": sum(found["total"] for found in lists) - doubled, "rows": list(rows.values())}
