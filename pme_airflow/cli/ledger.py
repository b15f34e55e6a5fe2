"""The commands that read the ledger and maintain its tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TextIO

import click

from pme_airflow.cli.deadlines import interactive_deadline
from pme_airflow.cli.output import (
    fail,
    print_csv,
    print_json,
    print_json_lines,
    print_json_list,
    print_line,
    print_note,
    print_table,
    text_of,
    writing_to,
)
from pme_airflow.cli.safety import confirm_many, dry_run_option, yes_option
from pme_airflow.cli.session import LedgerCommand, conn_option, format_option, open_hook, open_ledger
from pme_airflow.printable import printable

if TYPE_CHECKING:
    from pme_airflow.ledger.links import LinkRow
    from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["group"]

_STATES = ["minting", "live", "revoked", "expired", "failed", "unaccounted"]
_LIST_COLUMNS = (
    "link_id", "model_id", "audience", "state", "valid_until", "flagged_at", "retire_at", "irrevocable",
)  # fmt: skip
_EXPORT_COLUMNS = ("at", "event", "link_id", "model_id", "audience", "fingerprint", "run", "reason", "target", "slot")


@click.group("ledger")
def group() -> None:
    """Read the ledger, flag links, and look after its tables."""


@group.command("list", cls=LedgerCommand)
@conn_option
@format_option
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Links in this state; repeatable.")
@click.option("--model", "models", multiple=True, help="Links of this model; repeatable.")
@click.option("--audience", "audiences", multiple=True, help="Links of this audience; repeatable.")
@click.option("--viewer", default="", help="The name of a viewer, whose own links are listed alone.")
@click.option("--limit", type=click.IntRange(1), default=None, help="The most links to list; all if omitted.")
def list_command(
    conn_id: str, form: str, states: tuple[str, ...], models: tuple[str, ...], audiences: tuple[str, ...],
    viewer: str, limit: int | None,
) -> None:  # fmt: skip
    """List links, newest first."""
    from pme_airflow.ledger.audit import as_json, list_links

    viewers = open_hook(conn_id).sealer.viewer_fingerprints(viewer) if viewer else ()
    with open_ledger(conn_id).read() as tx:
        rows = (as_json(row) for row in list_links(tx, states, models, audiences, limit, viewers))
        if form == "json":
            print_json_list(rows)
        else:
            print_table(_LIST_COLUMNS, rows, empty="No links.")


@group.command("show", cls=LedgerCommand)
@conn_option
@format_option
@click.argument("link_id", metavar="LINK")
def show_command(conn_id: str, form: str, link_id: str) -> None:
    """Show one link: what it is, where it is shown, what happened to it.

    LINK is a link's id, a fingerprint, or a model's id; of a model, the newest link of each audience is shown, and JSON
    is a list.
    """
    with open_ledger(conn_id).read() as tx:
        rows = _rows_of(tx, link_id)
        if not rows:
            fail(f"the ledger has no link {printable(link_id)}. `pme-airflow ledger list` lists its links.")
        found = [_whole(tx, row) for row in rows]
    if form == "json":
        print_json(found if _names_model(link_id) and found[0]["link_id"] != link_id else found[0])
        return
    for index, link in enumerate(found):
        if index:
            print_line("")
        _print_link(link)


def _whole(tx: ReadTransaction, row: LinkRow) -> dict[str, Any]:
    """Return a link as JSON, with where it is shown and what happened to it."""
    from pme_airflow.ledger import audit

    slots, events = audit.shown_slots(tx, row.link_id), audit.history(tx, row.link_id)
    return {**audit.as_json(row), "slots": slots, "events": events}


def _names_model(text: str) -> bool:
    from pme_airflow.model_ids import is_model_id

    return is_model_id(text)


def _rows_of(tx: ReadTransaction, named: str) -> list[LinkRow]:
    """Return the link with an id or a fingerprint, or the newest link of each audience of a model."""
    from pme_airflow.ledger import audit
    from pme_airflow.ledger.links import by_id
    from pme_airflow.ledger.lookup import by_fingerprint
    from pme_airflow.sealing import is_fingerprint

    row = by_fingerprint(tx, named) if is_fingerprint(named) else by_id(tx, named)
    if row is not None:
        return [row]
    newest: dict[str, LinkRow] = {}
    for link in audit.list_links(tx, models=[named]) if _names_model(named) else ():
        newest.setdefault(link.audience, link)
    return list(newest.values())


def _print_link(link: dict[str, Any]) -> None:
    for key, value in link.items():
        if key not in ("slots", "events"):
            print_line(f"{key:>16}  {'no' if value is False else text_of(value)}")
    for slot in link["slots"]:
        print_line(f"{'shown at':>16}  {slot['target']}, {slot['slot']}")
    print_table(("at", "event", "run", "reason"), link["events"], empty="No events.")


@group.command("export", cls=LedgerCommand)
@conn_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv"]),
    default="json",
    show_default=True,
    help="JSON lines, or CSV.",
)
@click.option(
    "--output", type=click.File("w", encoding="utf-8", errors="backslashreplace", lazy=False), help="A file to write."
)
def export_command(conn_id: str, form: str, output: TextIO | None) -> None:
    """Write the audit: every event, oldest first, as JSON lines or CSV."""
    from pme_airflow.ledger.audit import export_events

    with open_ledger(conn_id).read() as tx, writing_to(output):
        if form == "csv":
            print_csv(_EXPORT_COLUMNS, export_events(tx))
        else:
            print_json_lines(export_events(tx))


@group.command("migrate", cls=LedgerCommand)
@conn_option
def migrate_command(conn_id: str) -> None:
    """Migrate the ledger's tables to this version."""
    database = open_hook(conn_id).database
    before = database.revision()
    database.migrate()
    print_line(f"The ledger's tables are of version {database.revision()} (before: {before or 'none'}).")


@group.command("purge", cls=LedgerCommand)
@conn_option
@click.option("--older-than", default="90d", show_default=True, help="Days, as in 90d.")
@dry_run_option
@yes_option
def purge_command(conn_id: str, older_than: str, dry_run: bool, yes: bool) -> None:
    """Delete links that ended longer ago than this, and their history; never one whose token may be alive.

    No slot goes dark. More than 20 links want an answer or --yes.
    """
    from pme_airflow.durations import parse_duration
    from pme_airflow.ledger.audit import count_ended, purge

    age = parse_duration(older_than, "older-than")
    if age < timedelta(days=2):
        fail(f"--older-than: {older_than} is less than 2d, and answers for so young a link may still come. Give more.")
    before = datetime.now(timezone.utc) - age
    database = open_hook(conn_id).database
    with database.read() as tx:
        count = count_ended(tx, before)
    if dry_run:
        print_line(f"Dry run: {count} links would be deleted, and no slot would go dark.")
        return
    confirm_many(count, "Delete", yes=yes)
    print_line(f"{purge(database, before)} links deleted.")


@group.command("reseal", cls=LedgerCommand)
@conn_option
@click.option(
    "--unchecked", is_flag=True, help="Go on where the API cannot be asked whether the client secret is right."
)
def reseal_command(conn_id: str, unchecked: bool) -> None:
    """Seal every live link with the connection's newest key, after a change of secret or keys.

    The API is asked first whether the client secret is right: links that are sealed with a mistyped one are lost.
    Exit status: 0 if every earlier key may be removed now, 1 if not, 2 if nothing was done.
    """
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.reseal import reseal

    services = open_hook(conn_id).services
    with services.client.with_patience(interactive_deadline().total_seconds()) as client:
        brief = replace(services, client=client)
        result = reseal(brief, RunContext.of_command("ledger reseal"), unchecked=unchecked)
    print_line(f"{result.moved} links resealed, {result.unopened} could not be opened.")
    for line in result.lines():
        print_note(line)
    sys.exit(0 if result.promise_kept else 1)
