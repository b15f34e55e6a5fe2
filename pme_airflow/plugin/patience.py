"""Calls that may hang, each in a thread of its own that nobody waits for longer than 2.5 seconds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pme_airflow.errors import LedgerUnavailableError

__all__ = ["WAIT_SECONDS", "Patience"]

#: The page has a sentence to show within 3 s.
WAIT_SECONDS = 2.5
#: While so many calls hang, one more is made every so many seconds only, and never more than so many.
_FEW, _PAUSE_SECONDS, _MOST_HANGING = 3, 15.0, 40
#: So many calls that do not hang run at once: a ledger that stops to answer leaves no more threads than this at first.
_MOST_AT_ONCE = 20
T = TypeVar("T")


class _Call(Generic[T]):
    """One call, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the call is waited for
            self.error = error


class Patience:
    """Makes calls about one thing, and gives up on those that hang.

    :param name: what is called; it stands in the error.
    :param cure: what to do if it hangs; it stands there too.
    """

    def __init__(self, name: str, cure: str = "Check that its database runs.") -> None:
        self._name = name
        self._cure = cure
        self._lock = threading.Lock()
        self._begun: dict[_Call[Any], float] = {}
        self._last_start = float("-inf")

    async def ask(self, work: Callable[[], T]) -> T:
        """Return what a call returns.

        :raises LedgerUnavailableError: if it does not return in time, others hang already, or too many run.
        """
        call = _Call(work)
        self._begin(call)
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def run() -> None:
            call.run()
            with self._lock:
                del self._begun[call]
            _wake(loop, done)

        threading.Thread(target=run, daemon=True, name=f"pme-page-{self._name}").start()
        try:
            await asyncio.wait_for(done.wait(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            raise self._not_in_time() from None
        if call.error is not None:
            raise call.error
        result: Any = call.result
        return result  # type: ignore[no-any-return]

    def _begin(self, call: _Call[Any]) -> None:
        """Count a call as running. One hangs once it is past the time that anybody waits for it."""
        with self._lock:
            now = time.monotonic()
            hanging = sum(now - begun >= WAIT_SECONDS for begun in self._begun.values())
            if hanging >= _MOST_HANGING or (hanging >= _FEW and now - self._last_start < _PAUSE_SECONDS):
                raise self._not_in_time()
            if len(self._begun) - hanging >= _MOST_AT_ONCE:
                raise LedgerUnavailableError(
                    f"{self._name} was not asked: {_MOST_AT_ONCE} requests of this page wait for it already. Try again."
                )
            self._begun[call] = self._last_start = now

    def _not_in_time(self) -> LedgerUnavailableError:
        return LedgerUnavailableError(f"{self._name} did not answer within {WAIT_SECONDS:g} s. {self._cure}")


def _wake(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(done.set)
    except RuntimeError:  # the server has stopped meanwhile
        return
