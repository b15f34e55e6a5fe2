"""The nights of the kit for targets, which the tests use too."""

from __future__ import annotations

from pme_airflow.dev.target_kit.nights import RATES, TRIES, Nights
from pme_airflow.dev.target_kit.place import Place

__all__ = ["RATES", "TRIES", "Nights", "Place"]
