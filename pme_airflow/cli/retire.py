"""The command that stops publishing: it clears slots and revokes their links."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pme_airflow.cli.deadlines import interactive_deadline
from pme_airflow.cli.output import fail, print_json, print_json_list, print_line, print_note, print_table
from pme_airflow.cli.session import (
    LedgerCommand,
    conn_option,
    format_option,
    open_hook,
    placements_file_option,
    read_placements,
)

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.ledger.publications import Publication
    from pme_airflow.lifecycle.retirement import RetireRequest, RetireResult
    from pme_airflow.targets import Target
    from pme_airflow.transfers.placed_targets import PlacedTargets

__all__ = ["retire_command"]

_MOST_LISTED = 20


@click.command("retire", cls=LedgerCommand)
@conn_option
@format_option
@click.option("--model", "models", multiple=True, help="A model.")
@click.option("--audience", "audiences", multiple=True, help="An audience.")
@click.option("--target", "targets", multiple=True, help="A target, by its name in `ledger show`.")
@click.option("--placement", "placements", multiple=True, help="All that the shipped DAGs publish for an audience.")
@click.option("--unnamed", "unnamed_only", is_flag=True, help="What no placement names any more.")
@placements_file_option
@click.option(
    "--former-placements", type=click.Path(path_type=Path),
    help="The placements as they were, to reach targets that were taken out of them.",
)  # fmt: skip
@click.option("--allow-clearing", is_flag=True, help="Clear more than half of an audience's slots with --unnamed.")
@click.option("--reason", default="", help="Why; recorded in the ledger.")
@click.option("--dry-run", is_flag=True, help="Print the slots that would be cleared, and change nothing.")
def retire_command(
    conn_id: str, form: str, placements_file: Path | None, former_placements: Path | None, dry_run: bool, **given: Any
) -> None:
    """Stop publishing: clear the slots of a model, an audience, a target or a placement, and revoke their links.

    What matches every criterion given is retired. Take it out of the placements first, or the next run publishes it
    again. Exit status: 0 if all is cleared and revoked; 1 if something is not, or will be published again.
    """
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.retire import preview_retirement, retire

    hook = open_hook(conn_id)
    placed = _placed(hook, placements_file, former_placements, given["unnamed_only"])
    request = _request(placed, **given)
    if dry_run:
        preview = preview_retirement(hook.services, request)
        _print_unreachable(request.at, preview)
        _print_slots(preview, form)
        return
    result = retire(hook.services, RunContext.of_command("retire"), request)
    _print_result(result, form)
    sys.exit(0 if result.promise_kept and not (result.dark or result.still_named) else 1)


def _placed(hook: PMEHook, current: Path | None, former: Path | None, unnamed_only: bool) -> PlacedTargets:
    """Return the targets of the placements and, to clear their slots, those of the former ones."""
    from pme_airflow.transfers.placed_targets import placed_targets

    placed = placed_targets(hook, read_placements(current, name_file=True))
    if former is not None:
        placed = placed.with_former(placed_targets(hook, read_placements(former)))
    if placed.problems and unnamed_only:
        fail(
            f"{' '.join(placed.problems)} With --unnamed all that such a target shows would be retired, so nothing was "
            "changed. Run it where every target can be reached; take one that is gone for good out of the file."
        )
    for problem in placed.problems:
        print_note(f"pme-airflow: {problem} Its slots go dark.")
    return placed


def _request(placed: PlacedTargets, placements: tuple[str, ...], **criteria: Any) -> RetireRequest:
    """Return the request that the options name."""
    from pme_airflow.hooks.arguments import checked_audience
    from pme_airflow.lifecycle.retire import RetireRequest
    from pme_airflow.model_ids import model_id_of
    from pme_airflow.placements import PLACEMENT_DAGS

    if placements and criteria["audiences"]:
        raise click.UsageError("--placement and --audience both name audiences: give one of them.")
    criteria["audiences"] = tuple(checked_audience(value) for value in (*criteria["audiences"], *placements))
    criteria["models"] = tuple(model_id_of(value) for value in criteria["models"])
    return RetireRequest(
        **criteria,
        placements=placed.slots,
        publishers=frozenset(PLACEMENT_DAGS) if placements or criteria["unnamed_only"] else None,
        at=placed.at,
        deadline=interactive_deadline(),
        on_selected=partial(_print_selected, placed.at),
    )


def _print_selected(at: Mapping[str, Target], slots: Sequence[Publication]) -> None:
    """Print the slots that are about to be cleared, on standard error."""
    print_note(f"Slots that match: {getattr(slots, 'total', len(slots))}" + (":" if slots else "."))
    for slot in slots[:_MOST_LISTED]:
        print_note(f"  {slot.target}, {slot.slot}  model {slot.model_id}  audience {slot.audience}")
    _print_unreachable(at, slots)


def _print_unreachable(at: Mapping[str, Target], slots: Sequence[Publication]) -> None:
    """Print the targets whose slots cannot be cleared, on standard error."""
    for name in sorted({slot.target for slot in slots} - set(at)):
        print_note(
            f"No placement says how to reach {name}: its slots are not cleared and go dark. If it was taken out of the "
            "placements, give the file as it was with --former-placements."
        )


def _print_slots(slots: Sequence[Publication], form: str) -> None:
    columns = ("target", "slot", "model_id", "audience", "link_id")
    rows = [{column: getattr(slot, column) for column in columns} for slot in slots]
    if form == "json":
        print_json_list(rows)
    else:
        print_table(columns, rows, empty="No slot matches.")


def _print_result(result: RetireResult, form: str) -> None:
    if form == "json":
        print_json(result.as_json())
    else:
        print_line(f"{result.summary}.")
        print_table(("target", "slot", "model_id"), result.cleared, empty="No slot was cleared.")
    for line in result.lines():
        print_note(line)
