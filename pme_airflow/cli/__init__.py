"""The command line ``pme-airflow``. It works while Airflow is down, if the connection and the ledger can be reached."""

from __future__ import annotations

from pme_airflow.cli.app import main

__all__ = ["main"]
