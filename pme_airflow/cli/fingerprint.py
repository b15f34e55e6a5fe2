"""The command that prints the fingerprints of tokens."""

from __future__ import annotations

import click

from pme_airflow.cli.output import fail, print_line
from pme_airflow.cli.session import LedgerCommand, read_stdin

__all__ = ["fingerprint_command"]


@click.command("fingerprint", cls=LedgerCommand)
def fingerprint_command() -> None:
    """Print the fingerprint of each token or link on standard input, one a line; a link may be wrapped.

    Exit status: 0 if every line contains a token, else 2.
    """
    from pme_airflow.lifecycle.leak_criteria import fingerprints_of, lines_of

    lines = lines_of(read_stdin())
    fingerprints, unread = fingerprints_of(lines)
    if not lines:
        fail("standard input is empty. Give tokens or links, one a line.")
    for fingerprint in fingerprints:
        print_line(fingerprint)
    if unread:
        fail(f"{unread} of {len(lines)} lines of standard input contain no token.")
