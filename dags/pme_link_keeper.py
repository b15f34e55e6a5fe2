"""Renew the links that are due, publish what is missing, and heal the slots that went dark.

It runs when the ledger, which the triggerer watches, has something due, at once when something went dark, and every
half an hour in any case (``keep_every`` of a placement). Where nothing is due this mints nothing.
It asks the API about a sample of the live links, each once in its life, and about all of them where one died elsewhere;
those that died are replaced.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, AssetAny, AssetWatcher

from pme_airflow.airflow_compat import AssetOrTimeSchedule, DeltaTriggerTimetable
from pme_airflow.assets import due_renewal_asset, links_asset, revoked_asset
from pme_airflow.operators.pme import PMEMintLinksOperator
from pme_airflow.placements import load, transfer_for
from pme_airflow.triggers.ledger import PMELedgerTrigger

placements = [placement for placement in load(__file__) if placement.keep_every is not None]
every = min((p.keep_every for p in placements if p.keep_every), default=timedelta(minutes=30))
wake = [revoked_asset(placement.audience) for placement in placements]
for placement in placements:
    trigger = PMELedgerTrigger(
        "renewal", placement.pme_conn_id, placement.audience, placement.renew_before.total_seconds()
    )
    wake.append(due_renewal_asset(placement.audience, watchers=[AssetWatcher(name="pme_due", trigger=trigger)]))

with DAG(
    dag_id="pme_link_keeper",
    description="Renews links with less than half of their life left, and heals dark slots",
    schedule=AssetOrTimeSchedule(timetable=DeltaTriggerTimetable(every), assets=AssetAny(*wake)) if wake else None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=20)},
    tags=["pme"],
    doc_md=__doc__,
) as dag:
    for placement in placements:
        links = []  # where nothing is to be shown, the transfers clear what still is
        if placement.models:
            links = PMEMintLinksOperator(
                task_id=f"keep_{placement.audience}",
                models=placement.models,
                valid_for=str(placement.valid_for),
                audience=placement.audience,
                renew_before=f"{int(placement.renew_before.total_seconds())}s",
                pme_conn_id=placement.pme_conn_id,
                check_alive=True,
                models_per_token=placement.models_per_token,
            ).output
        for target in placement.targets:
            transfer_for(placement, target, links, outlets=[links_asset(placement.audience)])
