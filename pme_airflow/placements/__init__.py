"""Placements: for one audience, which models' links are shown at which targets.

The shipped DAGs build their tasks from these. Importing this package loads neither the API client nor the ledger.
"""

from __future__ import annotations

from pme_airflow.placements.batching import batches
from pme_airflow.placements.outage import Plan, plan
from pme_airflow.placements.parsing import check, load
from pme_airflow.placements.placement import Placement, TargetSpec
from pme_airflow.placements.transfers import transfer_for

__all__ = ["Placement", "Plan", "TargetSpec", "batches", "check", "load", "plan", "transfer_for"]
