"""Two processes that take turns, by a schedule that a seed decides, so that an overlap can be played again."""

from __future__ import annotations

import mmap
import random
import threading
import time
from collections.abc import Callable

_TURN, _ALIVE = 0, 1
#: How often a process gives the turn away where it may.
_RATE = 0.3


class Turns:
    """Whose turn it is, in memory that both processes share. A process that has ended has no more turns."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 3)

    def begin(self) -> None:
        """Let both processes run, the first one first."""
        self._memory[:3] = bytes([0, 1, 1])

    def leave(self, me: int) -> None:
        """Note that a process has ended."""
        self._memory[_ALIVE + me] = 0

    def pause_of(self, me: int, seed: int) -> Callable[[], None]:
        """Return what a process calls between two transactions or requests: it may have to wait there."""
        chance = random.Random(seed)
        lock = threading.Lock()

        def pause() -> None:
            with lock:
                gives_away = chance.random() < _RATE
            if gives_away:
                self.give_away(me)
            self._wait(me)

        return pause

    def sleep_of(self, me: int) -> Callable[[], None]:
        """Return what a process calls when it has slept: it was the other one's turn meanwhile."""

        def slept() -> None:
            self.give_away(me)
            self._wait(me)

        return slept

    def give_away(self, me: int) -> None:
        self._memory[_TURN] = 1 - me

    def _wait(self, me: int) -> None:
        while self._memory[_ALIVE + 1 - me] and self._memory[_TURN] != me:
            time.sleep(0.0005)
