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
#: While so many calls hang, one more is made every so many seconds only, and never more than so many at once.
_FEW, _PAUSE_SECONDS, _MOST = 3, 15.0, 20
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
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._hanging = 0
        self._last_start = float("-inf")

    async def ask(self, work: Callable[[], T]) -> T:
        """Return what a call returns.

        :raises LedgerUnavailableError: if it does not return in time, or others hang already.
        """
        if not self._may_start():
            raise self._error()
        loop = asyncio.get_running_loop()
        done, call = asyncio.Event(), _Call(work)

        def run() -> None:
            call.run()
            with self._lock:
                self._hanging -= 1
            _wake(loop, done)

        threading.Thread(target=run, daemon=True, name=f"pme-page-{self._name}").start()
        try:
            await asyncio.wait_for(done.wait(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            raise self._error() from None
        if call.error is not None:
            raise call.error
        result: Any = call.result
        return result  # type: ignore[no-any-return]

    def _may_start(self) -> bool:
        with self._lock:
            now = time.monotonic()
            waits = self._hanging >= _FEW and now - self._last_start < _PAUSE_SECONDS
            if waits or self._hanging >= _MOST:
                return False
            self._hanging += 1
            self._last_start = now
            return True

    def _error(self) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"{self._name} did not answer within {WAIT_SECONDS:g} s. Check that its database runs; this page tries "
            "again."
        )


def _wake(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(done.set)
    except RuntimeError:  # the server has stopped meanwhile
        return
