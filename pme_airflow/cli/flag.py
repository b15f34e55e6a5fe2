"""The command that flags leaked links, and revokes them where asked to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pme_airflow.cli.deadlines import interactive_deadline
from pme_airflow.cli.leaks import exit_status, print_response, print_selected, print_unknown_tokens
from pme_airflow.cli.output import fail
from pme_airflow.cli.safety import confirm_many, dry_run_option, print_preview, yes_option
from pme_airflow.cli.session import LedgerCommand, conn_option, format_option, open_hook, read_stdin, read_stdin_lines

if TYPE_CHECKING:
    from pme_airflow.ledger.links import LinkRow

__all__ = ["flag_command"]


def _fingerprints(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Check that arguments are fingerprints; one that is not may be a token, so it is not echoed."""
    from pme_airflow.sealing import is_fingerprint

    lowered = tuple(value.strip().lower() for value in values)
    wrong = sum(not is_fingerprint(value) for value in lowered)
    if wrong:
        raise click.BadParameter(
            f"{wrong} of {len(values)} are no fingerprints (sha256: and 64 hexadecimal digits). Give raw tokens and "
            "links on standard input, where nobody else sees them: pme-airflow ledger flag --stdin."
        )
    return lowered


def _models_on_stdin() -> tuple[str, ...]:
    """Read the models that ``-`` stands for: the id of a View looks like a token, which no argument may hold."""
    models = tuple(read_stdin_lines("model ids"))
    if not models:
        fail("standard input is empty. Give model ids on it, one a line.")
    return models


def _given_fingerprints(tokens: Sequence[str]) -> set[str]:
    from pme_airflow.sealing import is_fingerprint

    return {lowered for token in tokens if is_fingerprint(lowered := token.strip().lower())}


@click.command("flag", cls=LedgerCommand)
@conn_option
@format_option
@click.option("--token", "fingerprints", multiple=True, callback=_fingerprints, help="A fingerprint (sha256:…).")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read tokens, links or fingerprints from standard input.")
@click.option(
    "--model", "models", multiple=True,
    help="All links of a model; - reads model ids from standard input, which those of Views need.",
)  # fmt: skip
@click.option("--audience", "audiences", multiple=True, help="All links of an audience.")
@click.option("--link-id", "link_ids", multiple=True, help="A link.")
@click.option("--findings", "report_places", multiple=True, help="The path or URL of a scanner's report.")
@click.option("--within", is_flag=True, help="Only links that match all of the criteria, where several are given.")
@click.option("--reason", default="", help="Why; recorded in the ledger.")
@click.option("--sweep", is_flag=True, help="Revoke at once.")
@dry_run_option
@yes_option
@click.argument("more", metavar="[FINGERPRINT]...", nargs=-1, callback=_fingerprints)
def flag_command(
    conn_id: str,
    form: str,
    fingerprints: tuple[str, ...],
    from_stdin: bool,
    more: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    models: tuple[str, ...],
    **given: Any,
) -> None:
    """Flag leaked links by fingerprint, model, audience, link id or a scanner's report.

    Tokens and links are read from standard input (--stdin), never from arguments, and the ids of Views by --model -.
    More than 20 links want an answer or --yes. Exit status: 0 if all was flagged, and revoked where asked to; 1 if a
    part was not, if the ledger never had a link of a name, or if --sweep found none of the tokens on standard input; 2
    if nothing could be read. --dry-run ends with 0 if all could be read and is of a link that the ledger has or had.
    """
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.leak_criteria import candidates_of, lines_of
    from pme_airflow.lifecycle.leak_response import LeakRequest, respond
    from pme_airflow.lifecycle.preview import preview_flag

    def selected(rows: Sequence[LinkRow]) -> None:
        print_selected(rows)
        confirm_many(len(rows), "Flag", yes=yes, may_ask=not (from_stdin or "-" in models))

    if from_stdin and "-" in models:
        raise click.UsageError("--stdin and --model - both read standard input. Flag them one after the other.")
    named = tuple(model for model in models if model != "-") + (_models_on_stdin() if "-" in models else ())
    text = read_stdin() if from_stdin else ""
    tokens = (*fingerprints, *more, *lines_of(text))
    hook = open_hook(conn_id)
    request = LeakRequest(
        tokens, named, **given, deadline=interactive_deadline(), on_selected=selected, candidates=candidates_of(text)
    )
    if dry_run:
        preview = preview_flag(hook.services, request)
        print_preview(preview, form)
        sys.exit(0 if not preview.problems else 2 if preview.is_empty else 1)
    response = respond(hook.services, RunContext.of_command("ledger flag"), request)
    print_response(response, form, hook.settings.client_id)
    is_unknown = print_unknown_tokens(response, _given_fingerprints(tokens))
    sys.exit(exit_status(response) or int(is_unknown and given["sweep"]))
