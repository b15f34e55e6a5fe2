"""Every night: a new link for every model, shown at every target before the old one is retired.

A large account is split into parts, which workers share; a part is shown as soon as it is minted.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, task_group

from pme_airflow.airflow_compat import CronTriggerTimetable
from pme_airflow.assets import links_asset
from pme_airflow.operators.pme import PMEListModelsOperator, PMEMintLinksOperator, PMERetireTargetsOperator
from pme_airflow.placements import PLACEMENT_DAGS, batches, load, nightly_timezone, transfer_for

placements = load(__file__)

with DAG(
    dag_id="pme_nightly_rotation",
    description="Renews every private link and publishes it",
    schedule=CronTriggerTimetable("0 2 * * *", timezone=nightly_timezone(placements)),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["pme"],
    doc_md=__doc__,
) as dag:
    for placement in placements:
        shown = []

        @task_group(group_id=placement.group, prefix_group_id=False)
        def rotate(models, placement=placement, shown=shown):
            mint = PMEMintLinksOperator(
                task_id=f"mint_{placement.audience}",
                models=models,
                valid_for=str(placement.valid_for),
                audience=placement.audience,
                pme_conn_id=placement.pme_conn_id,
                models_per_token=placement.models_per_token,
            )
            for target in placement.targets:
                outlets = [links_asset(placement.audience)]
                shown.append(transfer_for(placement, target, mint.output, outlets=outlets))

        if placement.listed_models == []:  # nothing is to be shown: the transfers clear what still is
            shown += [transfer_for(placement, target, []) for target in placement.targets]
            parts = None
        elif placement.listed_models is not None:
            parts = batches(placement.listed_models)
        else:
            parts = PMEListModelsOperator(
                task_id=f"list_{placement.audience}",
                models=placement.models,
                audience=placement.audience,
                pme_conn_id=placement.pme_conn_id,
            ).output
        rotated = shown if parts is None else rotate.expand(models=parts)
        rotated >> PMERetireTargetsOperator(
            task_id=f"retire_{placement.audience}",
            outcomes=[transfer.output["target"] for transfer in shown],
            audience=placement.audience,
            publishers=list(PLACEMENT_DAGS),
            pme_conn_id=placement.pme_conn_id,
        )
