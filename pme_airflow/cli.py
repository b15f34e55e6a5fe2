"""The command line: a thin face on the same core the operators use. It works while Airflow is down."""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook

__all__ = ["main"]

_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
_CONN = click.option("--conn-id", default="pme_default", show_default=True, help="The PME connection.")
_STATES = ["minting", "live", "revoked", "expired", "failed", "unaccounted"]


def _fail(message: str) -> NoReturn:
    click.echo(f"pme-airflow: {message}", err=True)
    sys.exit(2)


def _in_words(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say what went wrong in a line, without a traceback, which could hold a secret."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from pme_airflow.errors import PMEError

        message = ""
        try:
            return command(*args, **kwargs)
        except PMEError as error:
            message = str(error)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)
        _fail(message)

    return run


def _hook(conn_id: str) -> PMEHook:
    """The hook, with Airflow's own database among the places a connection is looked for."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    from airflow.sdk.exceptions import AirflowNotFoundException

    from pme_airflow.hooks.pme import PMEHook

    hook = PMEHook(conn_id)
    try:
        _ = hook.settings
    except AirflowNotFoundException:
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        _fail(f"the connection {conn_id} is not defined. Add it in Airflow, or set {variable}.")
    return hook


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what is done.")
@click.version_option(package_name="pme-airflow")
def main(verbose: bool) -> None:
    """Matterport private-embed links as managed short-lived credentials."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)


# ------------------------------------------------------------------ the ledger


@main.group()
def ledger() -> None:
    """Read the ledger, flag links, and look after its tables."""


@ledger.command("list")
@_CONN
@_FORMAT
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True)
@click.option("--model", "models", multiple=True)
@click.option("--audience", "audiences", multiple=True)
@click.option("--limit", type=click.IntRange(1), default=None)
@_in_words
def list_command(
    conn_id: str, form: str, states: tuple[str, ...], models: tuple[str, ...], audiences: tuple[str, ...],
    limit: int | None,
) -> None:  # fmt: skip
    """List links, newest first."""
    from pme_airflow.ledger.audit import as_json, list_links

    hook = _hook(conn_id)
    with hook.database.read() as tx:
        rows = (as_json(row) for row in list_links(tx, states, models, audiences, limit))
        if form == "json":
            _print_json_list(rows)
            return
        columns = ("link_id", "model_id", "audience", "state", "valid_until", "flagged_at", "retire_at", "irrevocable")
        _print_table(columns, rows)


@ledger.command("show")
@_CONN
@_FORMAT
@click.argument("link_id")
@_in_words
def show_command(conn_id: str, form: str, link_id: str) -> None:
    """Show one link: what it is, where it is shown, what happened to it. LINK_ID may be a fingerprint."""
    from pme_airflow.ledger import audit
    from pme_airflow.ledger.links import by_id
    from pme_airflow.ledger.lookup import by_fingerprint
    from pme_airflow.sealing import is_fingerprint

    hook = _hook(conn_id)
    with hook.database.read() as tx:
        row = by_fingerprint(tx, link_id) if is_fingerprint(link_id) else by_id(tx, link_id)
        if row is None:
            _fail(f"the ledger knows no link {link_id}. `pme-airflow ledger list` shows what it knows.")
        whole = {
            **audit.as_json(row),
            "slots": audit.shown_slots(tx, row.link_id),
            "events": audit.history(tx, row.link_id),
        }
    if form == "json":
        click.echo(json.dumps(whole, indent=2))
        return
    for key, value in whole.items():
        if key not in ("slots", "events"):
            click.echo(f"{key:>16}  {'' if value is None else value}")
    for slot in whole["slots"]:
        click.echo(f"{'shown at':>16}  {slot['target']}, {slot['slot']}")
    _print_table(("at", "event", "run", "reason"), whole["events"])


@ledger.command("flag")
@_CONN
@_FORMAT
@click.option("--token", "tokens", multiple=True, help="A fingerprint; raw tokens belong on standard input (--stdin).")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read tokens, links or fingerprints from standard input.")
@click.option("--model", "models", multiple=True)
@click.option("--audience", "audiences", multiple=True)
@click.option("--link-id", "link_ids", multiple=True)
@click.option("--findings", help="The path or URL of a scanner's report.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--sweep", is_flag=True, help="Revoke at once.")
@click.argument("fingerprints", nargs=-1)
@_in_words
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
    read = sys.stdin.read().splitlines() if from_stdin else []
    given = {"tokens": [*tokens, *fingerprints, *read], "models": models, "audiences": audiences, "link_ids": link_ids}
    flagging = Flagging.gather(given, problems)
    found = None
    try:
        found = read_report(fetch_report(findings)) if findings else None
    except PMEError as error:
        problems.append(error)
    hook = _hook(conn_id)
    responder = Responder(hook.services, RunContext.of_command("ledger flag"))
    if flagging is not None or found is not None or not problems:
        report = responder.flag(flagging, found, reason)
        if sweep:
            responder.sweep(report)
        if form == "json":
            click.echo(json.dumps(report.as_json(), indent=2))
        else:
            click.echo(report.in_words)
            _print_table(("fingerprint", "model_id", "audience", "state", "exposure"), report.tokens)
    if problems:
        raise joined(problems)


@ledger.command("export")
@_CONN
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-")
@_in_words
def export_command(conn_id: str, form: str, output: TextIO) -> None:
    """Write the audit: every event, oldest first, as JSON lines or CSV."""
    from pme_airflow.ledger.audit import export_events

    columns = ["at", "event", "link_id", "model_id", "audience", "fingerprint", "run", "reason"]
    writer = csv.DictWriter(output, columns) if form == "csv" else None
    if writer is not None:
        writer.writeheader()
    with _hook(conn_id).database.read() as tx:
        for event in export_events(tx):
            if writer is not None:
                writer.writerow(event)
            else:
                output.write(json.dumps(event) + "\n")


@ledger.command("migrate")
@_CONN
@_in_words
def migrate_command(conn_id: str) -> None:
    """Bring the ledger's tables up to this version."""
    hook = _hook(conn_id)
    before = hook.database.revision()
    hook.database.migrate()
    click.echo(f"The ledger's tables are of version {hook.database.revision()} (before: {before or 'none'}).")


@ledger.command("purge")
@_CONN
@click.option("--older-than", default="90d", show_default=True, help="Days, as in 90d.")
@_in_words
def purge_command(conn_id: str, older_than: str) -> None:
    """Drop links that were over so long ago; never one whose token may be alive."""
    from pme_airflow.durations import parse_duration
    from pme_airflow.ledger.audit import purge

    age = parse_duration(older_than, "older-than")
    if age < timedelta(days=2):
        _fail(f"--older-than: {older_than} is less than 2d, and answers for so young a link may still come. Give more.")
    before = datetime.now(timezone.utc) - age
    with _hook(conn_id).database.write() as tx:
        click.echo(f"{purge(tx, before)} links dropped.")


@ledger.command("reseal")
@_CONN
@_in_words
def reseal_command(conn_id: str) -> None:
    """Seal every live link with the connection's newest key, after a change of secret or keys."""
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.reseal import reseal

    done, unopened = reseal(_hook(conn_id).services, RunContext.of_command("ledger reseal"))
    click.echo(f"{done} links resealed, {unopened} could not be opened.")
    if unopened:
        sys.exit(1)


# ------------------------------------------------------------------ the rest


@main.command()
@_CONN
@_FORMAT
@click.option("--max-attempts", type=click.IntRange(1), default=6, show_default=True)
@click.option("--verify", is_flag=True, help="Ask each revoked link itself.")
@_in_words
def sweep(conn_id: str, form: str, max_attempts: int, verify: bool) -> None:
    """Revoke what is due now. Ends with 1 where a link is irrevocable."""
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.sweep import summary

    outcome = _hook(conn_id).sweep(max_attempts, verify=verify, run_context=RunContext.of_command("sweep"))
    result = summary(outcome)
    if form == "json":
        click.echo(json.dumps(result, indent=2))
    else:
        _print_table(("fingerprint", "model_id", "audience", "flagged_at"), result["revoked"])
        click.echo(
            f"{len(outcome.revoked)} revoked, {outcome.expired} expired, {len(outcome.given_up)} irrevocable, "
            f"{len(outcome.unopened)} not opened, {outcome.pending} still due."
        )
    if outcome.given_up or outcome.unopened:
        sys.exit(1)


@main.command("scan")
@_CONN
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.option("--flag", is_flag=True, help="Flag what is found.")
@click.option("--sweep", is_flag=True, help="Flag what is found and revoke it at once.")
@click.option("--reason", default="found by a scan", show_default=True, help="Why; kept in the ledger with each flag.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@_in_words
def scan_command(conn_id: str, form: str, flag: bool, sweep: bool, reason: str, paths: tuple[str, ...]) -> None:
    """Search for the tokens of live links in files, folders, archives, - (standard input) or URLs such as s3://….

    Exit status: 0 where nothing is found, 1 where something is, 2 where something could not be read.
    """
    from pme_airflow.hooks.scan_places import open_place_or_stdin
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.scan import ScanRequest, scan
    from pme_airflow.lifecycle.scan_output import rendered, summary_lines

    run_context = RunContext.of_command("scan")
    with _progress() as on_read:
        request = ScanRequest(paths, open_place_or_stdin, run_context, flag, sweep, reason, on_read)
        result = scan(_hook(conn_id).services, request)
    click.echo(rendered(result, form), nl=False)
    for line in summary_lines(result):
        click.echo(line, err=True)
    sys.exit(result.exit_status)


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


@main.command("fingerprint")
@_in_words
def fingerprint_command() -> None:
    """Print the fingerprint of each token or link on standard input."""
    from pme_airflow.errors import PMEInputError
    from pme_airflow.lifecycle.flag import fingerprints_of

    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    fingerprints, unread = fingerprints_of(lines)
    for fingerprint in fingerprints:
        click.echo(fingerprint)
    if not lines:
        raise PMEInputError("Standard input is empty. Give tokens or links, one a line.")
    if unread:
        raise PMEInputError(f"{unread} of {len(lines)} lines of standard input contain no token.")


@main.command()
@_FORMAT
@click.argument("placements", type=click.Path(dir_okay=False, path_type=Path), required=False)
@_in_words
def plan(form: str, placements: Path | None) -> None:
    """Print how long an outage each placement survives, and what limits it."""
    from pme_airflow.placements import check, load
    from pme_airflow.placements import plan as plan_outage

    if placements is not None and not placements.is_file():
        _fail(f"there is no file {placements}.")
    found = check(placements.read_text(encoding="utf-8"), str(placements)) if placements else load(Path.cwd() / "x")
    plans = [plan_outage(placement) for placement in found]
    if form == "json":
        _print_json_list(
            {"audience": p.audience, "survives_seconds": int(p.survives.total_seconds()), "rule": p.rule} for p in plans
        )
        return
    for reckoned in plans:
        click.echo(f"{reckoned.audience}: {reckoned.in_words()}")


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8799, show_default=True)
@click.option("--models", type=click.IntRange(0), default=5, show_default=True, help="How many models there are.")
@click.option("--client-id", default="emulator-client", show_default=True)
@click.option("--client-secret", envvar="PME_EMULATOR_SECRET", default="emulator-secret-of-some-length")
@click.option("--latency", type=click.FloatRange(0), default=0.0, help="Seconds each request takes.")
@click.option("--token-lifetime", type=click.IntRange(1), default=3599, help="Seconds an application token lives.")
@click.option("--fault", "faults", multiple=True, metavar="NAME=RATE", help="A fault and its rate, 0 to 1.")
@click.option("--second-spelling", is_flag=True, help="Know only the FAQ's names of the mutations.")
@click.option("--drop-nulls", is_flag=True, help="Leave null fields out of answers.")
@click.option("--max-aliases", type=click.IntRange(0), default=0, help="Mutations a request may hold; 0: any.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Where the address is written once served.")
def emulator(
    port: int, models: int, client_id: str, client_secret: str, latency: float, token_lifetime: int,
    faults: tuple[str, ...], second_spelling: bool, drop_nulls: bool, max_aliases: int, seed: int,
    ready_file: Path | None,
) -> None:  # fmt: skip
    """Serve a stand-in PME API on 127.0.0.1."""
    from pme_airflow.dev.emulator import Settings, World
    from pme_airflow.dev.emulator.samples import sample_models
    from pme_airflow.dev.emulator.server import serve

    settings = Settings(
        client_id, client_secret, sample_models(models), token_lifetime, latency, max_aliases, second_spelling,
        drop_nulls, seed=seed,
    )  # fmt: skip
    world = World(settings)
    try:
        world.set_faults({name: float(rate) for name, _, rate in (fault.partition("=") for fault in faults)})
        click.echo(f"The emulator serves {len(world.models)} models on http://127.0.0.1:{port}", err=True)
        serve(world, port, ready_file)
    except ValueError as error:
        _fail(f"--fault: {error}")
    except OSError as error:
        _fail(f"--port {port}: cannot be served ({error.strerror}). Choose another.")


@main.command()
@click.option("--keep", is_flag=True, help="Keep the folder, to look around in.")
@_in_words
def demo(keep: bool) -> None:
    """Run the whole path once: emulator, a real Airflow, and what came of it."""
    from pme_airflow.dev.playground.demo import run_demo

    sys.exit(run_demo(keep=keep))


@main.command()
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), default=Path(".up"), show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Airflow's.")
@click.option("--emulator-port", type=click.IntRange(1, 65535), default=8799, show_default=True)
@_in_words
def up(home: Path, port: int, emulator_port: int) -> None:
    """Run an emulator and a whole Airflow, configured, until Ctrl-C."""
    from pme_airflow.dev.playground.up import run_up

    sys.exit(run_up(home.resolve(), port, emulator_port))


def _print_json_list(rows: Iterable[dict[str, Any]]) -> None:
    """A JSON list, written as it is read."""
    first = True
    click.echo("[", nl=False)
    for row in rows:
        click.echo(("" if first else ",") + "\n  " + json.dumps(row), nl=False)
        first = False
    click.echo("]" if first else "\n]")


def _print_table(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        count += 1
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    if count:
        Console(soft_wrap=False).print(table)


if __name__ == "__main__":
    main()
