"""The provider's metadata, as Airflow's ``provider_info.schema.json`` wants it."""

from __future__ import annotations

from typing import Any

from pme_airflow import __version__

__all__ = ["get_provider_info"]

_NAME = "Matterport Private Model Embed"


def _field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "schema": {"type": [kind, "null"], **schema}, "description": description}


def get_provider_info() -> dict[str, Any]:
    """What Airflow is told of this package."""
    return {
        "package-name": "pme-airflow",
        "name": _NAME,
        "description": "Matterport private-embed links as managed short-lived credentials.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": _NAME, "external-doc-url": "https://matterport.github.io/", "tags": ["service"]},
            *({"integration-name": name, "tags": ["service"]} for name in ("Object Storage", "Slack", "WordPress")),
            {"integration-name": "HTTP", "tags": ["protocol"]},
        ],
        "operators": [
            {
                "integration-name": _NAME,
                "python-modules": ["pme_airflow.operators.pme", "pme_airflow.operators.scan"],
            }
        ],
        "triggers": [{"integration-name": _NAME, "python-modules": ["pme_airflow.triggers.reports"]}],
        "hooks": [{"integration-name": _NAME, "python-modules": ["pme_airflow.hooks.pme"]}],
        "transfers": [
            {
                "source-integration-name": _NAME,
                "target-integration-name": target,
                "python-module": f"pme_airflow.transfers.pme_to_{module}",
            }
            for target, module in (
                ("Object Storage", "object_storage"),
                ("Slack", "slack"),
                ("WordPress", "wordpress"),
                ("HTTP", "http"),
            )
        ],
        "extra-links": [
            "pme_airflow.operators.pme.PMEModelLink",
            "pme_airflow.transfers.pme_to_object_storage.PMEGalleryLink",
        ],
        "asset-uris": [{"schemes": ["pme"], "handler": None}],
        "connection-types": [
            {
                "connection-type": "pme",
                "hook-class-name": "pme_airflow.hooks.pme.PMEHook",
                "hook-name": _NAME,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "extra"],
                    "relabeling": {"login": "Client ID", "password": "Client secret", "host": "API address"},
                    "placeholders": {
                        "login": "from Settings > Developer Tools",
                        "password": "shown once, when it is reset",
                        "host": "https://api.matterport.com",
                        # Airflow 3.3's Test button sends 0 for an empty port, and then refuses to test.
                        "port": "443 (the Test button needs it)",
                    },
                },
                "conn-fields": {
                    "ledger_conn_id": _field(
                        "Ledger connection",
                        "string",
                        "The SQL connection the ledger lives in. Empty: an SQLite file in $AIRFLOW_HOME.",
                    ),
                    "seal_keys": _field(
                        "Seal keys",
                        "string",
                        "Keys that seal links at rest, newest first, commas between. Empty: derived from the secret.",
                        format="password",
                    ),
                    "batch_size": _field("Batch size", "integer", "Links asked for in one request. Default 10."),
                    "max_concurrency": _field(
                        "Concurrency", "integer", "Requests under way at once. Empty: 8, and more where welcome."
                    ),
                    "requests_per_second": _field(
                        "Requests a second", "number", "A hard ceiling for all tasks together. Empty: none."
                    ),
                    "timeout": _field("Timeout", "number", "Seconds to wait for an answer. Default 30."),
                },
            }
        ],
    }
