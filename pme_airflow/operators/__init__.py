"""Operators."""

from __future__ import annotations

from pme_airflow.supported_versions import check_airflow, warn_of_another_copy

check_airflow()
warn_of_another_copy()
