"""The command that prints the fingerprints of tokens."""

from __future__ import annotations

import sys

import click

__all__ = ["fingerprint_command"]


@click.command("fingerprint")
def fingerprint_command() -> None:
    """Print the fingerprint of each token or link on standard input."""
    from pme_airflow.errors import PMEInputError
    from pme_airflow.lifecycle.flag import fingerprints_of

    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    fingerprints, unread = fingerprints_of(lines)
    for fingerprint in fingerprints:
        click.echo(fingerprint)
    if not lines:
        raise PMEInputError("standard input is empty. Give tokens or links, one a line.")
    if unread:
        raise PMEInputError(f"{unread} of {len(lines)} lines of standard input contain no token.")
