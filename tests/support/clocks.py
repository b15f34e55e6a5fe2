"""The clock of the kit for targets, and one during whose sleeps another run works."""

from __future__ import annotations

from collections.abc import Callable

from pme_airflow.dev.target_kit.fake_clock import FakeClock

__all__ = ["FakeClock", "Waiting"]


class Waiting(FakeClock):
    """Calls after each sleep what another run does meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.meanwhile()
