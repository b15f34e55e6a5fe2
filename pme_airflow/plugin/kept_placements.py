"""The placements that the page shows, with what each survives. They are read anew after a minute."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from pme_airflow.hooks.ledger_views import FoundPlacements, configured_placements
from pme_airflow.placements import Plan, plan

__all__ = ["KEPT_SECONDS", "KeptPlacements", "PlannedPlacements"]

#: How long placements and a connection's settings are kept before they are read again.
KEPT_SECONDS = 60.0


@dataclass(frozen=True)
class PlannedPlacements:
    """The placements of an installation, and the plan of each."""

    found: FoundPlacements
    plans: tuple[Plan, ...] = ()


class KeptPlacements:
    """Reads the placements and keeps them for a minute; a file that cannot be read is tried again each time.

    Reading takes 0.1 s of processor time for 3,000 models, and a disk on the network may hang.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: PlannedPlacements | None = None
        self._read_at = 0.0

    def read(self) -> PlannedPlacements:
        """Return the placements and their plans. It may hang, so call it in a thread."""
        with self._lock:
            if self._kept is not None and time.monotonic() - self._read_at < KEPT_SECONDS:
                return self._kept
        found = configured_placements()
        fresh = PlannedPlacements(found, tuple(plan(placement) for placement in found.placements))
        with self._lock:
            self._kept, self._read_at = (fresh if found.problem is None else None), time.monotonic()
        return fresh
