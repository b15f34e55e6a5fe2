"""Running calls at the same time: they start together, an error of one is the test's, and none can hang a run."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["at_once"]

_SECONDS = 120


def at_once(*calls: Callable[[Callable[[], None]], None]) -> None:
    """Run each call in a thread of its own; each gets a function that waits until all others have come to it too."""
    barrier = threading.Barrier(len(calls))
    errors: list[BaseException] = []

    def run(call: Callable[[Callable[[], None]], None]) -> None:
        try:
            call(lambda: _wait(barrier))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_SECONDS)
    own = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    if own or errors:
        raise (own or errors)[0]
    assert not any(thread.is_alive() for thread in threads), f"a call was not done after {_SECONDS} s"


def _wait(barrier: threading.Barrier) -> None:
    barrier.wait(_SECONDS)
