"""The command that prints what outage each placement survives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pme_airflow.cli.output import fail, print_json_list, print_line
from pme_airflow.cli.session import LedgerCommand, format_option
from pme_airflow.printable import printable

if TYPE_CHECKING:
    from pme_airflow.placements import Placement

__all__ = ["plan_command"]


@click.command("plan", cls=LedgerCommand)
@format_option
@click.argument("placements", type=click.Path(path_type=Path), required=False)
def plan_command(form: str, placements: Path | None) -> None:
    """Print how long an outage each placement survives, and what limits it."""
    from pme_airflow.placements import plan

    plans = [plan(placement) for placement in _read(placements)]
    if form == "json":
        print_json_list(
            {"audience": p.audience, "survives_seconds": int(p.survives.total_seconds()), "rule": p.rule} for p in plans
        )
        return
    for outage in plans:
        print_line(f"{outage.audience}: {outage.in_words()}")
    if not plans:
        print_line("There are no placements: nothing is published.")


def _read(path: Path | None) -> list[Placement]:
    """Read the placements of a file, or else of ``$PME_PLACEMENTS`` or ``placements.yaml`` in this folder."""
    from pme_airflow.placements import check, load

    if path is None:
        return load(Path.cwd() / "dag.py")
    try:
        return check(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
    return fail(f"{printable(path)} cannot be read ({reason}). Name the file of the placements.")
