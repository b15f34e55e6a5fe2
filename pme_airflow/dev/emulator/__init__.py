"""An emulator of the PME API for demos and tests. It imports nothing of the rest of the package."""

from __future__ import annotations

from pme_airflow.dev.emulator.app import create_app
from pme_airflow.dev.emulator.world import FAULTS, Settings, World

__all__ = ["FAULTS", "Settings", "World", "create_app"]
