"""Splitting an account's models into parts that tasks work on side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pme_airflow.ledger.database import Database
from pme_airflow.rotation.handover import MOST_ITEMS, reference_to_models

__all__ = ["handed_parts", "parts_of"]

#: A part is at least worth the few seconds that its tasks take to start, at most a few minutes' work; and there are no
#: more of them than a handful of workers can share.
_LEAST, _MOST = 1000, 5000
_PARTS = 16


def parts_of(model_ids: Sequence[str]) -> list[list[str]]:
    """Models in parts of about the same size; up to a thousand in one."""
    size = min(_MOST, max(_LEAST, -(-len(model_ids) // _PARTS)))
    count = -(-len(model_ids) // size)
    return [list(model_ids[number::count]) for number in range(count)]


def handed_parts(database: Database, model_ids: Sequence[str]) -> list[Any]:
    """The parts as XCom carries them: ids, or references where there are many in all."""
    parts = parts_of(model_ids)
    if len(model_ids) <= MOST_ITEMS:
        return list(parts)
    return [reference_to_models(database, part) for part in parts]
