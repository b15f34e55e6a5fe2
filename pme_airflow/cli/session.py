"""Shared by the commands: options, the hook of a connection, and reading standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pme_airflow.cli.logs import replace_airflow_handlers
from pme_airflow.cli.output import fail, print_note, result_alone_on_stdout
from pme_airflow.printable import printable

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.ledger.database import Database
    from pme_airflow.placements import Placement

__all__ = [
    "LedgerCommand",
    "airflow_context",
    "conn_option",
    "format_option",
    "open_hook",
    "open_ledger",
    "placements_file_option",
    "read_placements",
    "read_stdin",
    "read_stdin_lines",
]

_MAX_STDIN_BYTES = 64 * 1024 * 1024

format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table to read, or JSON for programs.",
)  # fmt: skip
conn_option = click.option("--conn-id", default="pme_default", show_default=True, help="The PME connection.")
placements_file_option = click.option(
    "--placements-file", type=click.Path(path_type=Path),
    help="The placements; else $PME_PLACEMENTS, or placements.yaml in this folder or in the DAGs folder.",
)  # fmt: skip


class LedgerCommand(click.Command):
    """A command over a PME connection; its result alone is written to standard output."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with result_alone_on_stdout():
            return super().invoke(ctx)


@contextmanager
def airflow_context() -> Iterator[None]:
    """Import what needs Airflow: connections may also be in its database, and it logs to standard error."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        yield
    finally:
        replace_airflow_handlers()


def open_hook(conn_id: str) -> PMEHook:
    """Return the hook of a connection, which may also be defined in Airflow's own database."""
    with airflow_context():
        from pme_airflow.hooks.pme import PMEHook

        hook = PMEHook(conn_id)
        _ = hook.settings
    return hook


def open_ledger(conn_id: str) -> Database:
    """Return the ledger of a connection for a command that only reads it: in half the time that the hook takes."""
    with airflow_context():
        from pme_airflow.hooks.quick_ledger import quick_ledger

        return quick_ledger(conn_id)


def read_stdin(what: str = "tokens or links") -> str:
    """Return standard input as text; bytes that are no UTF-8 are replaced.

    :param what: what is to be given on it, for messages.
    """
    if sys.stdin is None:
        fail(f"standard input is closed. Give {what} on it, one a line.")
    if sys.stdin.isatty():
        print_note(f"Paste {what}, one a line, and end with Ctrl-D.")
    raw = sys.stdin.buffer.read(_MAX_STDIN_BYTES + 1)
    if len(raw) > _MAX_STDIN_BYTES:
        fail(f"standard input is over {_MAX_STDIN_BYTES} bytes. Give it in parts, or `pme-airflow scan` the file.")
    return raw.decode("utf-8", "replace")


def read_stdin_lines(what: str) -> list[str]:
    """Return the lines of standard input that are not blank; see :func:`read_stdin`."""
    return [line for line in read_stdin(what).splitlines() if line.strip()]


def read_placements(path: Path | None, *, name_file: bool = False) -> tuple[Placement, ...]:
    """Read the placements of a file, or else of ``$PME_PLACEMENTS``, of this folder or of Airflow's DAGs folder.

    :param name_file: whether to print on standard error which file that is.
    :raises PMEInputError: if they cannot be read, with a line for each thing that is wrong.
    """
    with airflow_context():
        from pme_airflow.hooks.ledger_views import placements_for_command

        found = placements_for_command(path)
    placements = found.required()
    if name_file:
        print_note(f"The placements are those in {printable(found.file)}.")
    return placements
