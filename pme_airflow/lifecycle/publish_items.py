"""Read the items that a publisher gets: everything but their identity is taken from the ledger.

XCom can be edited, so an item names a link and nothing else: its model, audience and end are those of the link's row.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger.links import LinkRow, by_ids, item_of
from pme_airflow.lifecycle.services import Services

__all__ = ["BadItem", "read_items"]

#: What every item has as text. All but the link id and the fingerprint are read from the ledger.
_TEXTS = ("link_id", "model_id", "audience", "fingerprint", "valid_until", "link")
_FROM_LEDGER = ("model_id", "audience", "valid_until")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BadItem:
    """An item that cannot be published.

    :param model_id: the model it names; empty if it names none.
    """

    model_id: str
    error: PMEError


def read_items(services: Services, items: Sequence[object]) -> list[Mapping[str, Any] | BadItem]:
    """Return each item as the ledger has it, or why it cannot be published. Keys of a caller's own are kept."""
    problems = [_problem(item) for item in items]
    link_ids = [str(item["link_id"]) for item, problem in zip(items, problems, strict=True)
                if problem is None and isinstance(item, Mapping)]  # fmt: skip
    with services.database.read() as tx:
        rows = by_ids(tx, link_ids)
    return [
        BadItem(_model_of(item), SlotError(problem)) if problem is not None else _checked(item, rows)
        for item, problem in zip(items, problems, strict=True)
    ]


def _problem(item: object) -> str | None:
    if not isinstance(item, Mapping):
        return f"an item is a {type(item).__name__} and not a mapping; pass the mint task's output unchanged"
    wrong = [key for key in _TEXTS if not isinstance(item.get(key), str) or not item[key]]
    if wrong:
        return f"an item has no text for {', '.join(wrong)}; pass the mint task's output as it is"
    return None


def _checked(item: Any, rows: Mapping[str, LinkRow]) -> Mapping[str, Any] | BadItem:
    row = rows.get(item["link_id"])
    if row is None:
        return BadItem(_model_of(item), SlotError("the ledger knows no link with the item's link_id; mint anew"))
    if row.fingerprint != item["fingerprint"]:
        return BadItem(row.opens[0], SlotError("the item's fingerprint is not its link's; mint anew"))
    if len(row.opens) > 1 and item["model_id"] not in row.opens:
        return BadItem(_model_of(item), SlotError("its token opens several models, and not the item's; mint anew"))
    known = item_of(row, item["model_id"] if len(row.opens) > 1 else None)
    changed = [key for key in _FROM_LEDGER if item[key] != known[key]]
    if changed:
        names = ", ".join(changed)
        log.warning("Link %s: the item was changed (%s); the ledger's values are used.", row.link_id, names)
    if row.sealed is None:
        known["link"] = item["link"]  # the link has ended; its slot is reported as dead
    return {**item, **known}


def _model_of(item: object) -> str:
    model_id = item.get("model_id") if isinstance(item, Mapping) else None
    return model_id[:40] if isinstance(model_id, str) and model_id.isalnum() else "?"
