"""The command that flags leaked links."""

from __future__ import annotations

import sys

import click

from pme_airflow.cli.output import print_json, print_table
from pme_airflow.cli.session import conn_option, format_option, open_hook

__all__ = ["flag_command"]


@click.command("flag")
@conn_option
@format_option
@click.option("--token", "tokens", multiple=True, help="A fingerprint; raw tokens belong on standard input (--stdin).")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read tokens, links or fingerprints from standard input.")
@click.option("--model", "models", multiple=True)
@click.option("--audience", "audiences", multiple=True)
@click.option("--link-id", "link_ids", multiple=True)
@click.option("--findings", help="The path or URL of a scanner's report.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--sweep", is_flag=True, help="Revoke at once.")
@click.argument("fingerprints", nargs=-1)
def flag_command(
    conn_id: str, form: str, tokens: tuple[str, ...], from_stdin: bool, models: tuple[str, ...],
    audiences: tuple[str, ...], link_ids: tuple[str, ...], findings: str | None, reason: str, sweep: bool,
    fingerprints: tuple[str, ...],
) -> None:  # fmt: skip
    """Flag what leaked, by fingerprint, model, audience, link id or report."""
    from pme_airflow.errors import PMEError
    from pme_airflow.leaks.report_fetch import fetch_report
    from pme_airflow.leaks.reports import read_report
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.flag import Flagging
    from pme_airflow.lifecycle.leak_response import Responder, joined

    problems: list[PMEError] = []
    lines = sys.stdin.read().splitlines() if from_stdin else []
    given = {"tokens": [*tokens, *fingerprints, *lines], "models": models, "audiences": audiences, "link_ids": link_ids}
    flagging = Flagging.gather(given, problems)
    found = None
    try:
        found = read_report(fetch_report(findings)) if findings else None
    except PMEError as error:
        problems.append(error)
    responder = Responder(open_hook(conn_id).services, RunContext.of_command("ledger flag"))
    if flagging is not None or found is not None or not problems:
        report = responder.flag(flagging, found, reason)
        if sweep:
            responder.sweep(report)
        if form == "json":
            print_json(report.as_json())
        else:
            click.echo(report.in_words)
            print_table(("fingerprint", "model_id", "audience", "state", "exposure"), report.tokens)
    if problems:
        raise joined(problems)
