"""Every 3 minutes: revoke links that no slot shows any more, try again what was not confirmed, close what has ended.

The run fails while a leaked link is alive, and names it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, AssetAlias

from pme_airflow.operators.pme import PMERevocationSweepOperator
from pme_airflow.placements import load

with DAG(
    dag_id="pme_revocation_sweep",
    description="Revokes retired and flagged links",
    schedule=timedelta(minutes=3),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=20)},
    tags=["pme"],
    doc_md=__doc__,
) as dag:
    for conn_id in sorted({placement.pme_conn_id for placement in load(__file__)}) or ["pme_default"]:
        PMERevocationSweepOperator(
            task_id=f"sweep_{conn_id}",
            pme_conn_id=conn_id,
            max_exposure="15m",
            outlets=[AssetAlias(f"pme-revoked-{conn_id}")],
        )
