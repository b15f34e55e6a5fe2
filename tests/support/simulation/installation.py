"""The parts of the simulated installation: its ledger, its targets, and the pool of threads that runs in line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol
from unittest.mock import patch

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from pme_airflow.clock import Clock
from pme_airflow.errors import LedgerUnavailableError, TargetUnavailableError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.targets.base import ShownLink
from tests.support.rooms import Shelf

__all__ = ["FragileDatabase", "KilledError", "Wall", "in_line"]

#: How many slots of a target are written at the same time.
_AT_ONCE = 50
#: How long a call of a target that is away takes, in seconds.
_TIMEOUT = 10.0


class KilledError(BaseException):
    """A worker dies here and now."""


class Surroundings(Protocol):
    """What a part needs to know of the simulation."""

    def down(self, what: str) -> bool:
        """Return whether something is away now."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""

    def is_killed(self) -> bool:
        """Return whether the worker dies now, in the middle of a slot."""

    def changes(self, slot: str, old: str | None) -> None:
        """A slot shows another link."""


class Wall(Shelf):
    """A target whose every change is timed."""

    at_once = _AT_ONCE

    def __init__(self, sim: Surroundings, number: int) -> None:
        super().__init__(f"target {number}")
        self._sim = sim

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        if self._sim.down(self.name):
            self._sim.wait(_TIMEOUT)
            raise TargetUnavailableError("no response", passing=True)
        if self._sim.is_killed():
            raise KilledError
        self._sim.changes(f"{self.name}/{slot}", self.shown.get(slot))
        self.shown[slot] = link.token.reveal()
        return {}


class FragileDatabase(Database):
    """A ledger in memory that is away while an outage says so; what it holds outlives the outage."""

    def __init__(self, sim: Surroundings, clock: Clock) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        super().__init__(tuned(engine), clock, migrate=True)
        self.prepare()
        self._sim = sim

    @property
    def changes(self) -> int:
        """How many rows were written so far."""
        with self.engine.connect() as connection:
            return int(connection.connection.driver_connection.total_changes)  # type: ignore[union-attr]

    def write(self, run_context: Any = None) -> Any:
        self._raise_if_away()
        return super().write(run_context)

    def read(self) -> Any:
        self._raise_if_away()
        return super().read()

    def _raise_if_away(self) -> None:
        if self._sim.down("database"):
            raise LedgerUnavailableError("The ledger cannot be reached.")


class _InLine:
    """A pool of threads that does each call at once: in virtual time nothing is gained by threads."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except BaseException as error:  # noqa: BLE001 - as a thread of a pool does
            future.set_exception(error)
        return future

    def shutdown(self) -> None:
        pass


@contextmanager
def in_line() -> Iterator[None]:
    """Let the loops of workers send without threads."""
    with patch("pme_airflow.lifecycle.worker_loop.ThreadPoolExecutor", _InLine):
        yield
