"""Serving handlers, as the kit for targets does."""

from __future__ import annotations

from pme_airflow.dev.target_kit.handlers import serving_handler

__all__ = ["serving_handler"]
