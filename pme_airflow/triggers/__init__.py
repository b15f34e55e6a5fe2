"""Triggers."""

from __future__ import annotations

from pme_airflow.supported_versions import check_airflow

check_airflow()
