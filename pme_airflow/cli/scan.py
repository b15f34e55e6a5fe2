"""The command that searches files for live links."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from pme_airflow.cli.output import print_json, print_json_list
from pme_airflow.cli.session import conn_option, open_hook

__all__ = ["scan_command"]


@click.command("scan")
@conn_option
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.option("--flag", is_flag=True, help="Flag what is found.")
@click.option("--sweep", "revoke", is_flag=True, help="Flag what is found and revoke it at once.")
@click.option("--reason", default="found by a scan", show_default=True, help="Why; kept in the ledger with each flag.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
def scan_command(conn_id: str, form: str, flag: bool, revoke: bool, reason: str, paths: tuple[str, ...]) -> None:
    """Search for the tokens the ledger holds alive in files, trees, archives, - or URLs such as s3://….

    Ends with 0 where nothing is found, 1 where something is, 2 where something could not be read.
    """
    from pme_airflow.hooks.scan_places import scan_place
    from pme_airflow.leaks.archives import Scan
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.scan import as_sarif, live_tokens

    hook = open_hook(conn_id)
    haystack = live_tokens(hook.services)
    with _progress() as on_read:
        search = Scan(haystack.needles, on_read)
        places = (
            search.stream(sys.stdin.buffer, "-") if place == "-" else scan_place(search, place) for place in paths
        )
        found = list(haystack.told(search.hits(piece for place in places for piece in place)))
    fingerprints = sorted({hit["fingerprint"] for hit in found})
    run_context = RunContext.of_command("scan")
    if (flag or revoke) and fingerprints:
        hook.flag(tokens=fingerprints, reason=reason, run_context=run_context)
    if revoke and fingerprints:
        hook.sweep(flagged_only=True, run_context=run_context)
    if form == "sarif":
        print_json(as_sarif(found))
    elif form == "json":
        print_json_list(found)
    else:
        for hit in found:
            click.echo(f"{hit['path']}:{hit['offset']}  {hit['fingerprint']}  {hit['model_id']}  {hit['audience']}")
        click.echo(f"{len(found)} places with {len(fingerprints)} live links of ours.", err=True)
    for problem in search.problems:
        click.echo(f"pme-airflow: {problem}", err=True)
    sys.exit(1 if found else 2 if search.problems else 0)


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
