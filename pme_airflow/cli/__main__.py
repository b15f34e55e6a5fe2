"""Run the command line as ``python -m pme_airflow.cli``."""

from __future__ import annotations

from pme_airflow.cli import main

if __name__ == "__main__":
    main(prog_name="pme-airflow")
