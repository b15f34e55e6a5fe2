"""The command that moves WordPress sites from links in pages to the plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pme_airflow.cli.output import print_json_list, print_note, print_table
from pme_airflow.cli.session import LedgerCommand, conn_option, format_option, open_hook, read_placements

if TYPE_CHECKING:
    from pme_airflow.embed_params import EmbedParams
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.ledger.publications import Publication
    from pme_airflow.placements import Placement
    from pme_airflow.targets import Target

__all__ = ["wordpress_move_command"]

_NOT_LIVE = "its link is not live any more; the next run of the keeper moves it"
_COLUMNS = ("target", "slot", "model_id", "outcome")


@dataclass(frozen=True)
class _Site:
    """A target of a placement, made for the plugin, and the slots in which it still shows links."""

    target: Target
    params: EmbedParams
    slots: Sequence[Publication]


@click.command("wordpress-move", cls=LedgerCommand)
@conn_option
@format_option
@click.option("--dry-run", is_flag=True, help="Print the slots that would be moved, and change nothing.")
@click.argument("placements", type=click.Path(path_type=Path), required=False)
def wordpress_move_command(conn_id: str, form: str, dry_run: bool, placements: Path | None) -> None:
    """Move WordPress pages from links in them to the plugin pme-embed, which must be active.

    Each space is shown by the plugin first; then its block takes the place of the link in the page, and revisions with
    links are deleted. Run it again if a page could not be moved. Exit status: 0 if all are moved, 1 if one is not.
    """
    hook = open_hook(conn_id)
    rows = [row for site in _sites(hook, read_placements(placements)) for row in _rows(hook, site, dry_run)]
    if form == "json":
        print_json_list(rows)
    else:
        print_table(_COLUMNS, rows, empty="No WordPress page has a link in it that was published here.")
    if not dry_run and any(row["outcome"] == "moved" for row in rows):
        print_note("Empty the sites' page caches once: what they kept from before has the former links in it.")
    sys.exit(0 if dry_run or all(row["outcome"] == "moved" for row in rows) else 1)


def _sites(hook: PMEHook, placements: Sequence[Placement]) -> Iterator[_Site]:
    """Yield the WordPress targets of a connection's placements, but those of the mode content."""
    from pme_airflow.lifecycle.republish import slots_to_republish
    from pme_airflow.placements import transfer_for

    for placement in placements:
        for spec in placement.targets:
            if spec.kind != "wordpress" or placement.pme_conn_id != hook.pme_conn_id:
                continue
            if spec.options.get("mode") == "content":
                print_note(f"Audience {placement.audience}: a target with mode: content is left as it is.")
                continue
            target = transfer_for(placement, spec, [], mode="plugin").make_target(hook)
            slots = slots_to_republish(hook.services, target, placement.audience, _has_link)
            yield _Site(target, placement.params, slots)


def _has_link(shown: Publication) -> bool:
    return shown.details.get("mode") != "plugin"


def _rows(hook: PMEHook, site: _Site, dry_run: bool) -> list[dict[str, Any]]:
    """Move a site's slots, and return a row for each."""
    if dry_run or not site.slots:
        return [_row(site, slot.slot, slot.model_id, "to be moved") for slot in site.slots]
    from pme_airflow.ledger.run_context import RunContext
    from pme_airflow.lifecycle.republish import republish

    run_context = RunContext.of_command("wordpress-move")
    result = republish(hook.services, run_context, site.target, site.slots, hook.open_link, site.params)
    reasons = {failure["slot"]: failure["reason"] for failure in result.failed}
    moved = {entry["slot"] for entry in result.published}
    return [
        _row(site, slot.slot, slot.model_id, "moved" if slot.slot in moved else reasons.get(slot.slot, _NOT_LIVE))
        for slot in site.slots
    ]


def _row(site: _Site, slot: str, model_id: str, outcome: str) -> dict[str, Any]:
    return {"target": site.target.name, "slot": slot, "model_id": model_id, "outcome": outcome}
