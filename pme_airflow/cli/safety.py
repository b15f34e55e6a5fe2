"""Safe hands: previews of what would be ended, and a question before many links are ended at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pme_airflow.cli.output import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from pme_airflow.lifecycle.preview import Preview

__all__ = ["MOST_UNASKED", "confirm_many", "dry_run_option", "print_preview", "yes_option"]

#: More links than this are ended only after an answer, or with ``--yes``.
MOST_UNASKED = 20
_LINK_COLUMNS = ("link_id", "model_id", "audience", "state", "valid_until")
_SLOT_COLUMNS = ("target", "slot", "model_id", "audience", "link_id")

dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
yes_option = click.option(
    "--yes", is_flag=True, help=f"Do not ask, however many links there are (over {MOST_UNASKED})."
)


def confirm_many(count: int, verb: str, *, yes: bool, may_ask: bool = True) -> None:
    """Ask before many links are ended at once; without a terminal, or after "no", end nothing.

    :param verb: what is about to be done to the links, such as ``flag``.
    :param may_ask: whether standard input is free for an answer.
    :raises PMEInputError: if it may not be done.
    """
    from pme_airflow.errors import PMEInputError

    if yes or count <= MOST_UNASKED:
        return
    if may_ask and sys.stdin is not None and sys.stdin.isatty() and click.confirm(f"{verb} {count} links?", err=True):
        return
    raise PMEInputError(
        f"{count} links at once are more than {MOST_UNASKED}, so nothing was done. Look at them with --dry-run, then "
        "run it again with --yes."
    )


def print_preview(preview: Preview, form: str) -> None:
    """Print which links would be ended and which slots would go dark; on standard error what could not be read."""
    for problem in preview.problems:
        print_note(f"pme-airflow: {problem}")
    found = preview.as_json()
    if form == "json":
        print_json(found)
        return
    print_line(f"Dry run: {len(preview.links)} links would be ended, and {len(preview.slots)} slots would go dark.")
    print_table(_LINK_COLUMNS, found["links"], empty="No link matches.")
    print_line("")
    print_table(_SLOT_COLUMNS, preview.slots, empty="No slot would go dark.")
