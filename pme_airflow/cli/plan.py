"""The command that prints what outage each placement survives."""

from __future__ import annotations

from pathlib import Path

import click

from pme_airflow.cli.output import print_json_list, print_line
from pme_airflow.cli.session import LedgerCommand, format_option, read_placements

__all__ = ["plan_command"]


@click.command("plan", cls=LedgerCommand)
@format_option
@click.argument("placements", type=click.Path(path_type=Path), required=False)
def plan_command(form: str, placements: Path | None) -> None:
    """Print how long an outage each placement survives, and what limits it."""
    from pme_airflow.placements import plan

    plans = [plan(placement) for placement in read_placements(placements)]
    if form == "json":
        print_json_list(
            {"audience": p.audience, "survives_seconds": int(p.survives.total_seconds()), "rule": p.rule} for p in plans
        )
        return
    for outage in plans:
        print_line(f"{outage.audience}: {outage.in_words()}")
    if not plans:
        print_line("There are no placements: nothing is published.")
