"""Matterport private-embed links as managed short-lived credentials inside Apache Airflow."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
