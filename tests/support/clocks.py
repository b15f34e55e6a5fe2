"""The clock of the kit for targets, one during whose sleeps another run works, and one that processes share."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pme_airflow.dev.target_kit.fake_clock import FakeClock

__all__ = ["FakeClock", "SharedClock", "Waiting"]


class Waiting(FakeClock):
    """Calls after each sleep what another run does meanwhile."""

    def __init__(self, start: datetime | None = None) -> None:
        super().__init__(*([] if start is None else [start]))
        self.meanwhile: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.meanwhile()


class SharedClock:
    """Virtual time that several processes share: what sleeps moves it on.

    :param path: a file that holds the time; by default memory that forked processes share.
    """

    def __init__(self, start: datetime, path: Path | None = None) -> None:
        self._start = start
        if path is None:
            self._memory = mmap.mmap(-1, 8)
            return
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return float(struct.unpack("d", self._memory[:8])[0])

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        self.set(self.monotonic() + seconds)

    def set(self, monotonic: float) -> None:
        self._memory[:8] = struct.pack("d", monotonic)
