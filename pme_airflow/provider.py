"""The provider's metadata, as Airflow's ``provider_info.schema.json`` wants it."""

from __future__ import annotations

from typing import Any

from pme_airflow import __version__
from pme_airflow.hooks.connection_fields import API_ADDRESS, CLIENT_ID, CLIENT_SECRET, EXTRAS

__all__ = ["get_provider_info"]

_NAME = "Matterport Private Model Embed"


def get_provider_info() -> dict[str, Any]:
    """Return the metadata that Airflow reads through the entry point ``apache_airflow_provider``."""
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
        "triggers": [
            {
                "integration-name": _NAME,
                "python-modules": ["pme_airflow.triggers.ledger", "pme_airflow.triggers.reports"],
            }
        ],
        "hooks": [{"integration-name": _NAME, "python-modules": ["pme_airflow.hooks.pme"]}],
        "transfers": [
            {
                "source-integration-name": _NAME,
                "target-integration-name": target,
                "python-module": f"pme_airflow.transfers.pme_to_{module}",
                "how-to-guide": f"/docs/how-to/{guide}.md",
            }
            for target, module, guide in (
                ("Object Storage", "object_storage", "object-storage"),
                ("Slack", "slack", "slack"),
                ("WordPress", "wordpress", "wordpress"),
                ("HTTP", "http", "headless-cms"),
            )
        ],
        "extra-links": [
            "pme_airflow.operators.pme.PMEModelLink",
            "pme_airflow.transfers.pme_to_object_storage.PMEGalleryLink",
        ],
        "config": {
            "pme": {
                "description": "The page Private links.",
                "options": {
                    "conn_ids": {
                        "description": "The PME connections that the page shows, with commas between.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "pme_default,pme_brokers",
                        "default": "pme_default",
                    }
                },
            }
        },
        "asset-uris": [{"schemes": ["pme"], "handler": None}],
        "connection-types": [
            {
                "connection-type": "pme",
                "hook-class-name": "pme_airflow.hooks.pme.PMEHook",
                "hook-name": _NAME,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "extra"],
                    "relabeling": {"login": CLIENT_ID, "password": CLIENT_SECRET, "host": API_ADDRESS},
                    "placeholders": {
                        "login": "from Settings > Developer Tools",
                        "password": "shown once, when it is reset",
                        "host": "https://api.matterport.com",
                        # Airflow 3.3's Test button sends 0 for an empty port, and then refuses to test.
                        "port": "443 (the Test button needs it)",
                    },
                },
                "conn-fields": {
                    name: {"label": field.label, "schema": field.schema, "description": field.description}
                    for name, field in EXTRAS.items()
                },
            }
        ],
    }
