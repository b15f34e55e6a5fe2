"""The command that examines a set-up before the first night."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pme_airflow.cli.output import print_json, print_line
from pme_airflow.cli.session import LedgerCommand, airflow_context, conn_option, format_option, placements_file_option

if TYPE_CHECKING:
    from pme_airflow.doctor import Report

__all__ = ["doctor_command"]

_PARTS = ("connection", "ledger", "keys", "placements", "airflow")


@click.command("doctor", cls=LedgerCommand)
@conn_option
@format_option
@click.option("--mint", "model", metavar="MODEL", help="Also mint three links for a minute, and revoke them.")
@click.option("--only", "parts", type=click.Choice(_PARTS), multiple=True, help="Examine this part alone; repeatable.")
@placements_file_option
def doctor_command(
    conn_id: str, form: str, model: str | None, parts: tuple[str, ...], placements_file: Path | None
) -> None:
    """Examine connection, ledger, keys, placements and Airflow, and print a cure for whatever is not good.

    Nothing is published, nothing is left changed, and the output contains no secret. Exit status: 0 if all is good, 1
    if something is doubtful, 2 if something is bad.
    """
    with airflow_context():
        from pme_airflow.hooks.examination import Examination
        from pme_airflow.hooks.pme import PMEHook

    report = Examination(PMEHook(conn_id), placements_file).report(parts or _PARTS, model)
    if form == "json":
        print_json(report.as_json())
    else:
        _print_report(report)
    sys.exit(report.exit_status)


def _print_report(report: Report) -> None:
    """Print a line a check under the name of its section, and its cure below it."""
    section = ""
    for entry in report.entries:
        if entry.section != section:
            section = entry.section
            print_line(section)
        print_line(f"  {entry.result.verdict.value:<8}  {entry.result.check:<23}  {entry.result.finding}")
        if entry.result.cure:
            print_line(f"  {'':<8}  {'  cure':<23}  {entry.result.cure}")
    print_line(report.summary)
