"""The names that users' DAGs, scripts and pages rely on: modules, arguments, columns, metrics and JSON keys."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from pme_airflow.ledger import states, tables

ARGUMENTS = {
    "pme_airflow.operators.pme.PMEMintLinksOperator": "models valid_for audience renew_before pme_conn_id",
    "pme_airflow.operators.pme.PMEListModelsOperator": "models audience pme_conn_id",
    "pme_airflow.operators.pme.PMEFlagTokensOperator": (
        "tokens models audiences findings reason confirm_over sweep max_exposure on_alarm pme_conn_id"
    ),
    "pme_airflow.operators.pme.PMERevocationSweepOperator": "max_attempts verify max_exposure on_alarm pme_conn_id",
    "pme_airflow.operators.pme.PMEScanOperator": "paths flag reason fail_on_find pme_conn_id",
    "pme_airflow.operators.pme.PMERetireTargetsOperator": "outcomes audience publishers pme_conn_id",
    "pme_airflow.operators.pme.PMEWatchSlotsOperator": "on_alarm pme_conn_id",
    "pme_airflow.transfers.pme_to_object_storage.PMEToObjectStorageOperator": "links path conn_id sdk_url sdk_key public_url",
    "pme_airflow.transfers.pme_to_slack.PMEToSlackOperator": "links channel slack_conn_id",
    "pme_airflow.transfers.pme_to_wordpress.PMEToWordPressOperator": "links pages wordpress_conn_id kind",
    "pme_airflow.transfers.pme_to_http.PMEToHttpOperator": "links http_conn_id endpoint json method read_endpoint",
    "pme_airflow.transfers.pme_to_custom.PMEToCustomTargetOperator": "links target_class options",
    "pme_airflow.triggers.reports.PMEReportTrigger": "path poll_interval",
    "pme_airflow.hooks.pme.PMEHook": "pme_conn_id",
    "pme_airflow.hooks.pme.PMEHook.mint": "models valid_for audience renew_before",
    "pme_airflow.hooks.pme.PMEHook.items": "links",
    "pme_airflow.hooks.pme.PMEHook.open": "item",
    "pme_airflow.hooks.pme.PMEHook.record_publication": "item target slot details",
    "pme_airflow.hooks.pme.PMEHook.flag": "tokens models audiences link_ids reason",
    "pme_airflow.hooks.pme.PMEHook.sweep": "",
    "pme_airflow.hooks.pme.PMEHook.test_connection": "",
    "pme_airflow.refresh.create_refresh_app": "authorize audience allow_origins requests_per_minute pme_conn_id",
    "pme_airflow.placements.load": "",
    "pme_airflow.placements.transfer_for": "placement target links",
    "pme_airflow.placements.batches": "model_ids",
    "pme_airflow.placements.plan": "placement",
    "pme_airflow.targets.Target.slots": "item",
    "pme_airflow.targets.Target.put": "slot link previous",
    "pme_airflow.targets.Target.read_back": "slot link details",
    "pme_airflow.targets.Target.take_away": "slot details",
    "pme_airflow.targets.Target.finish": "shown",
}
COLUMNS = {
    "pme_links": (
        "seq link_id client_id model_id audience state run run_uid application fingerprint sealed valid_for requested_at "
        "minted_at valid_until flagged_at flag_reason retire_at revoked_at revoke_attempts next_attempt_at irrevocable "
        "verified sweep_owner sweep_until"
    ),
    "pme_publications": "slot_key target slot link_id link_seq model_id audience published_at run details",
    "pme_events": "seq at event link_id model_id audience fingerprint run reason",
    "pme_flags": "fingerprint flagged_at reason run hit_at",
    "pme_claims": "claim_key owner process expires_at",
    "pme_runs": "run_uid run started_at seen_at finished_at",
    "pme_manifests": "manifest_id page models seen_at",
    "pme_paces": "pace_key next_at",
}


def named(path: str) -> Any:
    """Return the object of an import path, whose last parts may be attributes."""
    module, _, rest = path.partition(".")
    found: Any = import_module(module)
    for name in rest.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            found = import_module(f"{found.__name__}.{name}")
    return found


@pytest.mark.parametrize("path", ARGUMENTS)
def test_arguments_that_callers_name_exist(path: str) -> None:
    taken = inspect.signature(named(path)).parameters
    assert [name for name in ARGUMENTS[path].split() if name not in taken] == []


@pytest.mark.parametrize("table", COLUMNS)
def test_columns_that_queries_name_exist(table: str) -> None:
    assert [name for name in COLUMNS[table].split() if name not in tables.metadata.tables[table].c] == []


def test_states_and_events_keep_their_names() -> None:
    assert {state.value for state in states.State} == {
        "minting", "live", "revoked", "expired", "failed", "unaccounted"
    }  # fmt: skip
    assert {event.value for event in states.Event} >= {
        "requested", "made", "not_made", "lost", "abandoned", "revoked", "expired"
    }  # fmt: skip


@pytest.mark.parametrize("face", ["pme_airflow.placements", "pme_airflow.targets", "pme_airflow.operators.pme"])
def test_a_face_lists_what_it_offers(face: str) -> None:
    module = import_module(face)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
