"""What commands share: their options, and the hook of the connection that they name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook

__all__ = ["conn_option", "format_option", "open_hook"]

format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)
conn_option = click.option("--conn-id", default="pme_default", show_default=True, help="The PME connection.")


def open_hook(conn_id: str) -> PMEHook:
    """Return the hook of a connection, which may also be defined in Airflow's own database."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    from pme_airflow.hooks.pme import PMEHook

    return PMEHook(conn_id)
