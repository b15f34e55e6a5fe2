"""The command that revokes what is due."""

from __future__ import annotations

import sys

import click

from pme_airflow.cli.output import print_json, print_table
from pme_airflow.cli.session import conn_option, format_option, open_hook

__all__ = ["sweep_command"]


@click.command("sweep")
@conn_option
@format_option
@click.option("--max-attempts", type=click.IntRange(1), default=6, show_default=True)
@click.option("--verify", is_flag=True, help="Request each revoked link itself.")
def sweep_command(conn_id: str, form: str, max_attempts: int, verify: bool) -> None:
    """Revoke what is due now. Ends with 1 where a link is irrevocable."""
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.sweep import summary

    outcome = open_hook(conn_id).sweep(max_attempts, verify=verify, run_context=RunContext.of_command("sweep"))
    result = summary(outcome)
    if form == "json":
        print_json(result)
    else:
        print_table(("fingerprint", "model_id", "audience", "flagged_at"), result["revoked"])
        click.echo(
            f"{len(outcome.revoked)} revoked, {outcome.expired} expired, {len(outcome.given_up)} irrevocable, "
            f"{len(outcome.unopened)} not opened, {outcome.pending} still due."
        )
    if outcome.given_up or outcome.unopened:
        sys.exit(1)
