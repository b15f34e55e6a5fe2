"""Operators."""

from __future__ import annotations

from pme_airflow.supported_versions import check_airflow, warn_of_installation

check_airflow()
warn_of_installation()
