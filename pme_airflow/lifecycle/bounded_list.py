"""A list that keeps its first entries and counts the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

__all__ = ["MAX_ENTRIES", "BoundedList"]

#: More entries than this are counted and not kept: an account may have a million links.
MAX_ENTRIES = 1000
_Entry = TypeVar("_Entry")


class BoundedList(list[_Entry]):
    """The first :data:`MAX_ENTRIES` entries, and how many were added. Add with :meth:`append` and :meth:`extend`.

    :ivar total: how many entries were added.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def append(self, entry: _Entry) -> None:
        """Count an entry, and keep it while there are few."""
        self.total += 1
        if self.total <= MAX_ENTRIES:
            super().append(entry)

    def extend(self, entries: Iterable[_Entry]) -> None:
        """Append each entry."""
        for entry in entries:
            self.append(entry)
