"""Placements: for one audience, which models' links are shown at which targets.

The shipped DAGs build their tasks from these. Importing this package loads neither the API client nor the ledger.
"""

from __future__ import annotations

from pme_airflow.placements.batching import batches
from pme_airflow.placements.nights import nightly_timezone
from pme_airflow.placements.outage import Plan, plan
from pme_airflow.placements.parsing import check, connections, load, placements_file
from pme_airflow.placements.placement import PLACEMENT_DAGS, Placement, TargetSpec
from pme_airflow.placements.transfers import transfer_for

__all__ = [
    "PLACEMENT_DAGS",
    "Placement",
    "Plan",
    "TargetSpec",
    "batches",
    "check",
    "connections",
    "load",
    "nightly_timezone",
    "placements_file",
    "plan",
    "transfer_for",
]
