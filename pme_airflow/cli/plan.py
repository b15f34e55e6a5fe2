"""The command that prints what outage each placement survives."""

from __future__ import annotations

from pathlib import Path

import click

from pme_airflow.cli.output import fail, print_json_list
from pme_airflow.cli.session import format_option

__all__ = ["plan_command"]


@click.command("plan")
@format_option
@click.argument("placements", type=click.Path(dir_okay=False, path_type=Path), required=False)
def plan_command(form: str, placements: Path | None) -> None:
    """Print how long an outage each placement survives, and what limits it."""
    from pme_airflow.placements import check, load, plan

    if placements is not None and not placements.is_file():
        fail(f"there is no file {placements}.")
    found = check(placements.read_text(encoding="utf-8"), str(placements)) if placements else load(Path.cwd() / "x")
    plans = [plan(placement) for placement in found]
    if form == "json":
        print_json_list(
            {"audience": p.audience, "survives_seconds": int(p.survives.total_seconds()), "rule": p.rule} for p in plans
        )
        return
    for outage in plans:
        click.echo(f"{outage.audience}: {outage.in_words()}")
