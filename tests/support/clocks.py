"""The clock of the kit for targets, which the tests use too."""

from __future__ import annotations

from pme_airflow.dev.target_kit.fake_clock import FakeClock

__all__ = ["FakeClock"]
