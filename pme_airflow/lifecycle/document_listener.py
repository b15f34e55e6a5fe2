"""What is called with the results of writing and clearing slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pme_airflow.errors import PMEError
from pme_airflow.ledger.publications import Publication

__all__ = ["DocumentListener"]

Item = Mapping[str, Any]


class DocumentListener:
    """Is called with the result of each slot, and does nothing; override what is of interest."""

    def slot_published(self, slot: str, item: Item) -> None:
        """See :class:`~.slot_worker.SlotListener`."""

    def slot_unchanged(self, slot: str, item: Item) -> None:
        """See :class:`~.slot_worker.SlotListener`."""

    def slot_failed(self, slot: str, item: Item, error: PMEError) -> None:
        """See :class:`~.slot_worker.SlotListener`."""

    def slot_cleared(self, shown: Publication) -> None:
        """The slot shows nothing any more."""

    def slot_not_cleared(self, shown: Publication, error: PMEError) -> None:
        """The slot may show its link still."""
