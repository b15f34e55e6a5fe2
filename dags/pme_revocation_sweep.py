"""Revoke links that leaked or that no slot shows any more, try again what was not confirmed, close what has ended.

It runs within seconds of something being due in the ledger, which the triggerer watches, and every 15 minutes in any
case. The run fails while a leaked link is alive, and names it.
It then looks at every slot, emits gauges, and posts an event on ``pme://at-risk/<audience>`` where nobody renews. The
run fails if either failed.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, AssetAlias, AssetAny, AssetWatcher

from pme_airflow.airflow_compat import AssetOrTimeSchedule, DeltaTriggerTimetable
from pme_airflow.assets import due_sweep_asset
from pme_airflow.operators.pme import PMERevocationSweepOperator, PMEWatchSlotsOperator
from pme_airflow.placements import connections
from pme_airflow.triggers.ledger import PMELedgerTrigger

conn_ids = connections(__file__)
due = [
    due_sweep_asset(conn_id, watchers=[AssetWatcher(name="pme_due", trigger=PMELedgerTrigger("sweep", conn_id))])
    for conn_id in conn_ids
]

with DAG(
    dag_id="pme_revocation_sweep",
    description="Revokes retired and flagged links",
    schedule=AssetOrTimeSchedule(timetable=DeltaTriggerTimetable(timedelta(minutes=15)), assets=AssetAny(*due)),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=20)},
    tags=["pme"],
    doc_md=__doc__,
) as dag:
    # Airflow takes a run's state from its last tasks alone, and the watch runs although the sweep failed. "none_failed"
    # waits for all of them; "all_success" would end, skipped, as soon as one sweep is skipped.
    end = EmptyOperator(task_id="end", trigger_rule="none_failed")
    for conn_id in conn_ids:
        sweep = PMERevocationSweepOperator(
            task_id=f"sweep_{conn_id}",
            pme_conn_id=conn_id,
            max_exposure="15m",
            outlets=[AssetAlias(f"pme-revoked-{conn_id}")],
        )
        watch = PMEWatchSlotsOperator(
            task_id=f"watch_{conn_id}",
            pme_conn_id=conn_id,
            outlets=[AssetAlias(f"pme-at-risk-{conn_id}")],
            trigger_rule="all_done",
        )
        sweep >> watch
        [sweep, watch] >> end
