"""The trigger that watches the ledger and starts a sweep or the keeper when something is due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from pme_airflow.ledger.database import Database
    from pme_airflow.ledger.due import DueWork
    from pme_airflow.lifecycle.due_watch import Decision, DueWatch

__all__ = ["PMELedgerTrigger"]

_SWEEP_POLL = 3.0
_RENEWAL_POLL = 30.0
_MIN_POLL = 0.01
#: The pause after a look, as a multiple of its processor time: the trigger takes 0.5 % of a core at most.
_CPU_REST = 200
#: The pause after a look, as a multiple of its duration: a slow database answers for a tenth of the time at most.
_WALL_REST = 10
#: How often the connections are read again, so that a changed connection needs no restart.
_REOPEN_EVERY = 300.0

T = TypeVar("T")


class PMELedgerTrigger(BaseEventTrigger):
    """Fires when something in the ledger is due, with its kind and count.

    For an ``AssetWatcher`` on ``pme://due/sweep/<conn_id>`` or ``pme://due/renewal/<audience>``. It fires for what
    became due since it fired last; for the rest again after 20 s, then 40 s, and so on up to 30 minutes. It only
    reads: it waits for a ledger that is unreachable, of another version or missing, and never creates or migrates one.
    No error ends it. A second trigger, or one that is killed between its look and its event, does no harm.

    Airflow keeps a trigger for as long as its arguments stay the same, so they are constants of the DAG file.

    :param due: ``sweep`` for links to revoke or close, ``renewal`` for links to renew and slots to heal.
    :param pme_conn_id: the PME connection, whose client's links are watched in its ledger.
    :param audience: for ``renewal``: whose links.
    :param renew_before: for ``renewal``: a link with fewer seconds left than this is due.
    :param poll_interval: seconds between two looks; 3 for sweeps and 30 for renewals if omitted, and longer while a
        look takes more than 15 or 150 ms of processor time, or more than 0.3 or 3 s.
    """

    def __init__(
        self,
        due: Literal["sweep", "renewal"],
        pme_conn_id: str = "pme_default",
        audience: str | None = None,
        renew_before: float | None = None,
        poll_interval: float | None = None,
    ) -> None:
        super().__init__()
        if due not in ("sweep", "renewal"):
            raise ValueError("due: expected sweep or renewal.")
        given = {audience is not None, renew_before is not None}
        if given != {due == "renewal"}:
            raise ValueError("audience, renew_before: a renewal needs both, a sweep neither.")
        self.due = due
        self.pme_conn_id = pme_conn_id
        self.audience = audience
        self.renew_before = renew_before
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which Airflow creates the trigger again."""
        names = ("due", "pme_conn_id", "audience", "renew_before", "poll_interval")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event each time a run is worth starting, until the watcher is removed."""
        from pme_airflow.lifecycle.due_watch import HoldOff

        watcher = _Watcher(self)
        hold_off = HoldOff()
        problem = ""
        try:
            while True:
                try:
                    found, rest = await watcher.look()
                    problem = self._log_problem(problem, "")
                except Exception as error:  # noqa: BLE001 - a secrets backend or driver of any author may raise anything
                    found, rest = None, 0.0
                    await watcher.close()
                    problem = self._log_problem(problem, _words(error))
                if found is not None and self._counted(hold_off.decide(found)):
                    yield TriggerEvent({"kind": self.due, "count": found.count})
                await asyncio.sleep(max(_MIN_POLL, self._poll, rest))
        finally:
            await watcher.close()
            watcher.end()

    def _counted(self, decision: Decision) -> bool:
        """Count a decision in Airflow's metrics; return whether to start a run."""
        from pme_airflow.airflow_compat import Stats
        from pme_airflow.lifecycle.due_watch import Decision

        match self.due, decision:
            case "sweep", Decision.START:
                Stats.incr("pme.sweep_wakes")
            case "sweep", Decision.HOLD_BACK:
                Stats.incr("pme.sweep_wakes_held_back")
            case _, Decision.START:
                Stats.incr("pme.renewal_wakes")
            case _, Decision.HOLD_BACK:
                Stats.incr("pme.renewal_wakes_held_back")
        return decision is Decision.START

    @property
    def _poll(self) -> float:
        if self.poll_interval is not None:
            return self.poll_interval
        return _SWEEP_POLL if self.due == "sweep" else _RENEWAL_POLL

    def _log_problem(self, before: str, now: str) -> str:
        """Log that the ledger cannot be read, or can be again; once, not at every look."""
        if now and now != before:
            self.log.warning("The ledger of %s cannot be watched: %s It is tried again.", self.pme_conn_id, now)
        elif before and not now:
            self.log.info("The ledger of %s can be watched again.", self.pme_conn_id)
        return now


class _Watcher:
    """Keeps the ledger open between looks, and opens it again where it failed or its connection changed."""

    def __init__(self, trigger: PMELedgerTrigger) -> None:
        self._trigger = trigger
        self._database: Database | None = None
        self._watch: DueWatch | None = None
        self._opened_as: object = None
        self._reopen_at = 0.0
        # A thread of its own: a database that hangs stalls this watcher alone, and not all that share a pool with it.
        self._executor = ThreadPoolExecutor(1, "pme-ledger-watch")

    async def look(self) -> tuple[DueWork, float]:
        """Return what is due, and for how many seconds to rest after this look. Opening the ledger is not counted."""
        if self._database is None or time.monotonic() >= self._reopen_at:
            await self._open()
        database, watch = self._database, self._watch
        assert database is not None
        assert watch is not None
        return await self._in_thread(_measured, watch, database)

    async def _open(self) -> None:
        """Read the connections in the triggerer's loop: read in a thread they would stall Airflow 3.2's triggerer."""
        from pme_airflow.hooks.connection import ConnectionSettings

        settings = ConnectionSettings.read(await BaseHook.aget_connection(self._trigger.pme_conn_id))
        ledger_conn_id = settings.extras.ledger_conn_id
        ledger = await BaseHook.aget_connection(ledger_conn_id) if ledger_conn_id is not None else None
        opened_as = (settings.client_id, ledger_conn_id, None if ledger is None else ledger.get_uri())
        self._reopen_at = time.monotonic() + _REOPEN_EVERY
        if self._database is not None and opened_as == self._opened_as:
            return
        await self.close()
        self._database = await self._in_thread(_database_of, ledger)
        if self._opened_as != opened_as:
            self._watch, self._opened_as = self._watch_of(settings.client_id), opened_as

    def _watch_of(self, client_id: str) -> DueWatch:
        from pme_airflow.ledger.due import RenewalDemand
        from pme_airflow.lifecycle.due_watch import RenewalWatch, SweepWatch, renewal_slack

        audience, seconds = self._trigger.audience, self._trigger.renew_before
        if audience is None or seconds is None:
            return SweepWatch(client_id)
        margin = timedelta(seconds=seconds)
        return RenewalWatch(RenewalDemand(client_id, audience, margin, renewal_slack(margin)))

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *args)

    async def close(self) -> None:
        """Close the connections to the database."""
        database, self._database = self._database, None
        if database is not None:
            await self._in_thread(database.engine.dispose)

    def end(self) -> None:
        """Let the thread end after its current work."""
        self._executor.shutdown(wait=False)


def _measured(watch: DueWatch, database: Database) -> tuple[DueWork, float]:
    begun, worked = time.monotonic(), time.thread_time()
    found = watch.look(database)
    return found, max(_WALL_REST * (time.monotonic() - begun), _CPU_REST * (time.thread_time() - worked))


def _database_of(ledger: Any) -> Database:
    from pme_airflow.clock import SystemClock
    from pme_airflow.hooks.ledger_engines import ledger_file, ledger_in

    return ledger_file(SystemClock()) if ledger is None else ledger_in(ledger, SystemClock())


def _words(error: Exception) -> str:
    """Return the message of this package's errors, and only the type of others, whose text may contain a password."""
    from pme_airflow.errors import PMEError

    return str(error) if isinstance(error, PMEError) else f"{type(error).__name__}."
