"""The command that revokes what is due."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pme_airflow.cli.deadlines import interactive_deadline
from pme_airflow.cli.leaks import print_alive
from pme_airflow.cli.output import print_json, print_line, print_table
from pme_airflow.cli.safety import dry_run_option, print_preview
from pme_airflow.cli.session import LedgerCommand, conn_option, format_option, open_hook

if TYPE_CHECKING:
    from pme_airflow.lifecycle.sweep import SweepResult

__all__ = ["sweep_command"]


@click.command("sweep", cls=LedgerCommand)
@conn_option
@format_option
@click.option(
    "--max-attempts", type=click.IntRange(1), default=6, show_default=True, help="Denials that make a link irrevocable."
)
@click.option("--verify", is_flag=True, help="Request each revoked link itself.")
@dry_run_option
def sweep_command(conn_id: str, form: str, max_attempts: int, verify: bool, dry_run: bool) -> None:
    """Revoke what is due now: what was flagged, and what no slot shows any more.

    Exit status: 0 if no leaked link is alive, 1 if one is.
    """
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.preview import preview_sweep
    from pme_airflow.lifecycle.sweep import SweepRequest, summary, sweep

    services = open_hook(conn_id).services
    request = SweepRequest(max_attempts, verify, deadline=interactive_deadline())
    if dry_run:
        print_preview(preview_sweep(services), form)
        return
    result = sweep(services, RunContext.of_command("sweep"), request)
    if form == "json":
        print_json(summary(result))
    else:
        _print_result(result)
    print_alive(services, result)
    sys.exit(0 if result.promise_kept else 1)


def _print_result(result: SweepResult) -> None:
    from pme_airflow.lifecycle.sweep import summary

    columns = ("fingerprint", "model_id", "audience", "flagged_at", "exposure")
    print_table(columns, summary(result)["revoked"], empty="Nothing was revoked.")
    print_line(
        f"{len(result.revoked)} revoked, {result.expired} expired, {len(result.irrevocable)} irrevocable, "
        f"{len(result.unopened)} not opened, {result.pending} still due."
    )
