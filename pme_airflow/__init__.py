"""Matterport private-embed links as managed short-lived credentials inside Apache Airflow."""

from __future__ import annotations

import sys

__all__ = ["__version__"]

__version__ = "0.1.0"

if sys.version_info < (3, 10):  # noqa: UP036 - a copy on PYTHONPATH is not checked by pip
    raise ImportError(
        f"pme-airflow {__version__} needs Python 3.10 or newer; this is Python {sys.version.split()[0]}. Install it "
        "with such a Python, next to Airflow 3.1 or newer: python3.12 -m pip install pme-airflow"
    )
