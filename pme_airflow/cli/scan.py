"""The command that searches files for live links."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pme_airflow.cli.deadlines import interactive_deadline
from pme_airflow.cli.output import print_note, write
from pme_airflow.cli.safety import confirm_many, dry_run_option, yes_option
from pme_airflow.cli.session import LedgerCommand, conn_option, open_hook

if TYPE_CHECKING:
    from pme_airflow.lifecycle.services import Services

__all__ = ["scan_command"]


@click.command("scan", cls=LedgerCommand)
@conn_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="How findings are printed.",
)
@click.option("--flag", is_flag=True, help="Flag what is found.")
@click.option("--sweep", is_flag=True, help="Flag what is found and revoke it at once.")
@click.option("--reason", default="found by a scan", show_default=True, help="Why; kept in the ledger with each flag.")
@click.option("--git", "repositories", multiple=True, metavar="PATH", help="Search a git repository's history alone.")
@click.option("--since", default="48h", show_default=True, help="How far back git history is searched; all for all.")
@dry_run_option
@yes_option
@click.argument("paths", nargs=-1, metavar="PATH…")
def scan_command(
    conn_id: str,
    form: str,
    flag: bool,
    sweep: bool,
    reason: str,
    repositories: tuple[str, ...],
    since: str,
    dry_run: bool,
    yes: bool,
    paths: tuple[str, ...],
) -> None:
    """Search for the tokens of live links in files, folders, archives, - (standard input) or URLs such as s3://….

    Git repositories below a folder are searched with their history: what was committed and taken out again, amended,
    stashed or staged in the last 48 hours is still in there. With --dry-run nothing is flagged or revoked, and which
    slots would go dark is printed; more than 20 links want an answer or --yes.

    Exit status: 0 if nothing is found, 1 if something is, 2 if something could not be searched.
    """
    from pme_airflow.hooks.scan_places import Places
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.scan import ScanRequest, scan
    from pme_airflow.lifecycle.scan_output import rendered, summary_lines

    run_context = RunContext.of_command("scan")
    places = Places(since, stdin=True)
    with _progress() as on_read:
        request = ScanRequest(
            paths, places.open, run_context, flag and not dry_run, sweep and not dry_run, reason,
            interactive_deadline(),
            on_read, repositories, places.open_repository,
            lambda rows: confirm_many(len(rows), "Flag", yes=yes, may_ask="-" not in paths),
        )  # fmt: skip
        services = open_hook(conn_id).services
        result = scan(services, request)
    write(rendered(result, form))
    for line in summary_lines(result):
        print_note(line)
    if dry_run and result.fingerprints:
        _print_dark_slots(services, result.fingerprints)
    sys.exit(result.exit_status)


def _print_dark_slots(services: Services, fingerprints: Sequence[str]) -> None:
    """Print on standard error which slots would go dark if the links that were found were revoked."""
    from pme_airflow.lifecycle.leak_response import LeakRequest
    from pme_airflow.lifecycle.preview import preview_flag

    slots = preview_flag(services, LeakRequest(tuple(fingerprints))).slots
    print_note(f"Dry run: {len(fingerprints)} links would be flagged, and {len(slots)} slots would go dark.")
    for slot in slots:
        print_note(f"  {slot['target']}, {slot['slot']}  model {slot['model_id']}  audience {slot['audience']}")


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show on a terminal's standard error how much was read."""
    from rich.console import Console
    from rich.progress import (
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("scanning"), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("scan", total=None)
        yield lambda size: progress.advance(task, size)
