"""The targets' tests need one database alone, and do not wait for the pauses that hosts ask for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pme_airflow.clock import SystemClock
from pme_airflow.targets import host_limits


class SkippingClock(SystemClock):
    """A clock whose pauses pass at once.

    :ivar skipped: the seconds that were not waited for.
    """

    def __init__(self) -> None:
        self.skipped = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        self.skipped += seconds


@pytest.fixture
def ledger_address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(autouse=True)
def host_clock(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    clock = SkippingClock()
    monkeypatch.setattr(host_limits, "_CLOCK", clock)
    return clock
