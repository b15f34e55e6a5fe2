"""The ledgers that the page reads: one for each connection that ``[pme] conn_ids`` names."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pme_airflow.airflow_compat import conf
from pme_airflow.errors import PMEError
from pme_airflow.hooks.ledger_views import FoundPlacements, view_of
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.plugin.kept_placements import KEPT_SECONDS, KeptPlacements, PlannedPlacements
from pme_airflow.plugin.patience import Patience

__all__ = ["Answers", "Problem", "Sources", "configured_conn_ids"]

T = TypeVar("T")
log = logging.getLogger(__name__)


def configured_conn_ids() -> list[str]:
    """Return the PME connections that ``[pme] conn_ids`` names, separated by commas; ``pme_default`` by default."""
    named = str(conf.get("pme", "conn_ids", fallback="pme_default"))
    return list(dict.fromkeys(name.strip() for name in named.split(",") if name.strip())) or ["pme_default"]


@dataclass(frozen=True)
class Problem:
    """Why a connection's ledger cannot be read."""

    conn_id: str
    message: str


@dataclass(frozen=True)
class Answers:
    """What the ledgers returned, and which of them returned nothing."""

    found: Sequence[Any]
    problems: Sequence[Problem]


class _Source:
    """One connection's view of its ledger, read anew after a minute or a failure."""

    def __init__(self, conn_id: str, placements: KeptPlacements) -> None:
        self.conn_id = conn_id
        self._placements = placements
        self.patience = Patience(f"The ledger of the connection {conn_id}")
        self._lock = threading.Lock()
        self._view: LedgerView | None = None
        self._read_at = 0.0

    def read(self, of: Callable[[LedgerView], T]) -> T:
        """Call a function with the view."""
        try:
            return of(self._current())
        except PMEError:
            self._forget()
            raise

    def _current(self) -> LedgerView:
        with self._lock:
            view, age = self._view, time.monotonic() - self._read_at
        if view is not None and age < KEPT_SECONDS:
            return view
        fresh = view_of(PMEHook(self.conn_id), self._placements.read().found.placements)
        with self._lock:
            old, self._view, self._read_at = self._view, fresh, time.monotonic()
        if old is not None:
            old.database.engine.dispose()
        return fresh

    def _forget(self) -> None:
        with self._lock:
            old, self._view = self._view, None
        if old is not None:
            old.database.engine.dispose()


class Sources:
    """The ledgers of the configured connections, and the placements."""

    def __init__(self, conn_ids: Sequence[str]) -> None:
        self.conn_ids = list(conn_ids)
        self._placements = KeptPlacements()
        self._disk = Patience("The file of the placements", "Check the disk that it is on.")
        self._sources = [_Source(conn_id, self._placements) for conn_id in conn_ids]

    async def placements(self) -> PlannedPlacements:
        """Return the placements and their plans."""
        try:
            return await self._disk.ask(self._placements.read)
        except PMEError as error:
            return PlannedPlacements(FoundPlacements(problem=str(error)))

    async def ask(self, of: Callable[[LedgerView], Any]) -> Answers:
        """Ask all ledgers the same at once; none is waited for longer than the others."""
        results = await asyncio.gather(*(self._ask(source, of) for source in self._sources))
        found = [result for result in results if not isinstance(result, Problem)]
        return Answers(found, [result for result in results if isinstance(result, Problem)])

    async def _ask(self, source: _Source, of: Callable[[LedgerView], Any]) -> Any:
        try:
            return await source.patience.ask(lambda: source.read(of))
        except PMEError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 - a secrets backend or a driver may raise anything, secrets in it
            log.exception("The page cannot read the ledger of the connection %s.", source.conn_id)
            message = (
                f"The ledger of the connection {source.conn_id} cannot be read ({type(error).__name__}). The API "
                "server's log has the details."
            )
        return Problem(source.conn_id, message)
