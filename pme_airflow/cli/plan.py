"""The command that prints what outage each placement survives."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pme_airflow.cli.output import print_json_list, print_line
from pme_airflow.cli.session import LedgerCommand, format_option, open_hook, read_placements

if TYPE_CHECKING:
    from pme_airflow.placements import Placement

__all__ = ["plan_command"]


@click.command("plan", cls=LedgerCommand)
@format_option
@click.argument("placements", type=click.Path(path_type=Path), required=False)
def plan_command(form: str, placements: Path | None) -> None:
    """Print how long an outage each placement survives, what limits it, and what shared tokens win and cost.

    Where the ledger can be read, links count as long as the API last gave them, not as long as they were asked for.
    """
    from pme_airflow.placements import plan

    plans = [plan(placement, _given_validity(placement)) for placement in read_placements(placements)]
    if form == "json":
        print_json_list(
            {
                "audience": p.audience,
                "survives_seconds": int(p.survives.total_seconds()),
                "rule": p.rule,
                **({"shared_tokens": p.sharing} if p.sharing else {}),
            }
            for p in plans
        )
        return
    for outage in plans:
        print_line(f"{outage.audience}: {outage.in_words()}")
        if outage.sharing:
            print_line(f"{outage.audience}: {outage.sharing}")
    if not plans:
        print_line("There are no placements: nothing is published.")


def _given_validity(placement: Placement) -> timedelta | None:
    """Return how long the API's links live if it gives less than is requested, as far as the ledger can be read."""
    from pme_airflow.errors import PMEError
    from pme_airflow.lifecycle.mint import given_validity

    try:
        return given_validity(open_hook(placement.pme_conn_id).services, placement.audience)
    except PMEError as error:
        logging.getLogger(__name__).info("Audience %s: the ledger was not asked: %s", placement.audience, error)
        return None
