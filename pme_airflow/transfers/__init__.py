"""Transfers: operators that publish links to the places where people open them."""

from __future__ import annotations

from pme_airflow.supported_versions import check_airflow

check_airflow()
