"""Flag leaked links and revoke them; the link keeper then publishes new ones where slots went dark.

Trigger it with the form, by REST, or with an event on ``pme://leaks`` whose extra is ``{"fingerprints": […]}``.
Airflow keeps a run's conf in clear: pass fingerprints (``pme-airflow fingerprint``) where you can.
If the environment variable ``PME_REPORTS`` names a folder or bucket, a scanner's report dropped there starts it too.
With more than ``confirm_over`` links at once the run waits until a person has confirmed, under *Required Actions*.
The run fails if a revocation is not confirmed, and names the link, the reason, and when the link ends by itself.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, AssetAlias, AssetWatcher, Param

from pme_airflow.assets import leaks_asset
from pme_airflow.operators.pme import PMEFlagTokensOperator
from pme_airflow.placements import connections
from pme_airflow.triggers.reports import PMEReportTrigger

drop = os.environ.get("PME_REPORTS")
leaks = leaks_asset(watchers=[AssetWatcher(name="pme_reports", trigger=PMEReportTrigger(drop))] if drop else [])
_texts = {"type": ["array", "null"], "items": {"type": "string"}}

with DAG(
    dag_id="pme_leak_response",
    description="Flags and revokes leaked links now",
    schedule=[leaks],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=8,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=5)},
    render_template_as_native_obj=True,
    params={
        "tokens": Param(
            [],
            title="Tokens",
            description="Fingerprints (sha256:…), raw tokens or links. Airflow keeps raw ones in the run's conf.",
            **_texts,
        ),
        "models": Param([], title="Models", description="Revoke every link of these model ids.", **_texts),
        "audiences": Param([], title="Audiences", description="Revoke every link of these audiences.", **_texts),
        "findings": Param(
            None,
            type=["string", "null"],
            title="Findings",
            description="The path or URL of a scanner's report.",
        ),
        "within": Param(
            False,
            type="boolean",
            title="Within",
            description="Revoke only links that match all of the tokens, models and audiences given.",
        ),
        "confirm_over": Param(
            100,
            type=["integer", "null"],
            minimum=0,
            title="Confirm over",
            description="With more links than this the run waits for an answer under Required Actions. Empty: never.",
        ),
        "reason": Param("", type=["string", "null"], title="Reason", description="Why; recorded in the ledger."),
    },
    tags=["pme"],
    doc_md=__doc__,
) as dag:
    for conn_id in connections(__file__):
        PMEFlagTokensOperator(
            task_id=f"respond_{conn_id}",
            tokens="{{ params.tokens }}",
            models="{{ params.models }}",
            audiences="{{ params.audiences }}",
            findings="{{ params.findings }}",
            within="{{ params.within }}",
            reason="{{ params.reason }}",
            confirm_over="{{ params.confirm_over }}",
            sweep=True,
            max_exposure="5m",
            pme_conn_id=conn_id,
            inlets=[leaks],  # for events that come while the run is queued: Airflow starts no other run for them
            outlets=[AssetAlias(f"pme-revoked-{conn_id}")],
        )
