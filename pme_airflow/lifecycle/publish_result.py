"""The result of publishing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pme_airflow.errors import PMEError
from pme_airflow.lifecycle.bounded_list import BoundedList

__all__ = ["PublishResult"]

_Slots = BoundedList[dict[str, Any]]


@dataclass
class PublishResult:
    """The results of writing a target's slots, each as JSON without links. Lists keep their first 1,000 entries.

    :param target: the target's name.
    :param links: how many items there were.
    """

    target: str
    links: int = 0
    published: _Slots = field(default_factory=BoundedList)
    unchanged: _Slots = field(default_factory=BoundedList)
    removed: _Slots = field(default_factory=BoundedList)
    failed: _Slots = field(default_factory=BoundedList)

    @property
    def promise_kept(self) -> bool:
        """Whether every slot shows what it should."""
        return not self.failed

    @property
    def permanent(self) -> bool:
        """Whether trying again cannot help any slot that failed before a person changes something."""
        return all(failure["permanent"] for failure in self.failed)

    def fail(self, slot: str, model_id: str, error: PMEError) -> None:
        """Note a slot that does not show what it should."""
        self.failed.append({"slot": slot, "model_id": model_id, "reason": str(error), "permanent": error.permanent})

    def as_json(self) -> dict[str, Any]:
        """Return the XCom form: how many slots there were of each kind, and the first of them."""
        kinds: Mapping[str, _Slots] = {
            "published": self.published,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "failed": self.failed,
        }
        counts = {kind: slots.total for kind, slots in kinds.items()}
        return {"target": self.target, "counts": counts, **{kind: list(slots) for kind, slots in kinds.items()}}
