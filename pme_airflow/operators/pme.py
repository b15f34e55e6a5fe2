"""Operators that mint, list, flag, sweep, scan and retire links, and watch the slots."""

from __future__ import annotations

from pme_airflow.operators.flag import PMEFlagTokensOperator
from pme_airflow.operators.list_models import PMEListModelsOperator
from pme_airflow.operators.mint import PMEMintLinksOperator, PMEModelLink
from pme_airflow.operators.retire import PMERetireTargetsOperator
from pme_airflow.operators.scan import PMEScanOperator
from pme_airflow.operators.sweep import PMERevocationSweepOperator
from pme_airflow.operators.watch import PMEWatchSlotsOperator

__all__ = [
    "PMEFlagTokensOperator",
    "PMEListModelsOperator",
    "PMEMintLinksOperator",
    "PMEModelLink",
    "PMERetireTargetsOperator",
    "PMERevocationSweepOperator",
    "PMEScanOperator",
    "PMEWatchSlotsOperator",
]
