"""The command that prints the state of every slot, and what is at risk and overdue."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pme_airflow.cli.output import print_json, print_line, print_note, print_table
from pme_airflow.cli.session import LedgerCommand, conn_option, format_option, open_hook

__all__ = ["status_command"]

_COLUMNS = ("state", "model", "audience", "target", "slot", "valid_until", "renews_at", "overdue", "at_risk")
_COUNTS = ("dark", "at_risk", "due", "overdue")
_AUDIENCE_COLUMNS = ("audience", "slots", *_COUNTS, "first_renewal", "first_at_risk", "first_end")
_LATE = {
    "leaks": "leaked links are not revoked. See the page's Leaks, or run `pme-airflow sweep`",
    "retirements": "replaced links are not revoked. Is pme_revocation_sweep paused? Run `pme-airflow sweep`",
    "ends": "links have ended and are not closed. Is pme_revocation_sweep paused? Run `pme-airflow sweep`",
    "mints": "mints have no recorded response. Is pme_revocation_sweep paused? Run `pme-airflow sweep`",
}


@click.command("status", cls=LedgerCommand)
@conn_option
@format_option
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="The most slots to list.")
@click.option("--placements", type=click.Path(path_type=Path), help="The file that says when links are due.")
def status_command(conn_id: str, form: str, limit: int, placements: Path | None) -> None:
    """Print the state of every slot, the most urgent first, and what is at risk and overdue.

    At risk is a slot that is nearer to its end than the plan allows, or past it: its link was to be renewed before.
    Exit status: 0 if nothing is dark, at risk or overdue, 1 if something is, 2 if the ledger cannot be read.
    """
    state = _read(conn_id, limit, placements)
    if form == "json":
        print_json(state)
    else:
        _print(state)
    sys.exit(0 if state["ok"] else 1)


def _read(conn_id: str, limit: int, file: Path | None) -> dict[str, Any]:
    from pme_airflow.hooks.dag_health import dag_health
    from pme_airflow.hooks.ledger_views import placements_for_command, view_of
    from pme_airflow.ledger.read_model.slots import SlotFilter
    from pme_airflow.lifecycle import overview

    hook = open_hook(conn_id)
    found = placements_for_command(file)
    view = view_of(hook, found.placements)
    shown = overview.slots(view, SlotFilter(), page_size=limit)
    health = overview.health(view)
    return {
        "conn_id": conn_id,
        "now": shown["now"],
        "ok": overview.is_well(health),
        "counts": shown["counts"],
        "slots": shown["slots"],
        "overdue": health["overdue"],
        "audiences": health["audiences"],
        "links_that_no_key_opens": health["links_that_no_key_opens"],
        "placements_problem": found.problem,
        "dags": overview.json_of(dag_health()),
    }


def _print(state: Mapping[str, Any]) -> None:
    counts = state["counts"]
    words = ", ".join(f"{counts[name]} {name}" for name in ("dark", "unaccounted", "retiring", "due", "live"))
    print_line(f"{counts['total']} slots: {words}; {counts['overdue']} overdue, {counts['at_risk']} at risk.")
    print_table(_COLUMNS, [{**slot, "model": _model(slot)} for slot in state["slots"]], empty="No slot shows a link.")
    if len(state["slots"]) < counts["total"]:
        print_line(f"{counts['total'] - len(state['slots'])} more slots; list them with --limit {counts['total']}.")
    if state["audiences"]:
        print_line("")
        print_table(_AUDIENCE_COLUMNS, map(_audience, state["audiences"]), empty="")
    for line in _problems(state):
        print_note(line)


def _model(slot: Mapping[str, Any]) -> str:
    name = slot["model_name"]
    return f"{name} ({slot['model_id']})" if name else str(slot["model_id"])


def _audience(audience: Mapping[str, Any]) -> dict[str, Any]:
    counts = audience["counts"]
    return {**audience, "slots": counts["total"], **{name: str(counts[name]) for name in _COUNTS}}


def _at_risk(audience: Mapping[str, Any]) -> str:
    return (
        f"{audience['audience']}: {audience['counts']['at_risk']} of its slots nearer to the end than the plan allows, "
        f"or past it. Is pme_link_keeper paused or failing?"
    )


def _problems(state: Mapping[str, Any]) -> list[str]:
    lines = [_at_risk(audience) for audience in state["audiences"] if audience["counts"]["at_risk"]]
    lines += [f"{late['count']} {_LATE[late['kind']]} (since {late['since']})." for late in state["overdue"]]
    unopened = state["links_that_no_key_opens"]
    if unopened:
        lines.append(f"{unopened} live links are sealed with a key that the connection lacks: add it to seal_keys.")
    if state["placements_problem"]:
        lines.append(f"{state['placements_problem']} Links are taken to be due at half of their life.")
    dags = state["dags"]
    lines += [f"{dag['problem']} {dag['cure']}" for dag in dags["dags"] if dag["problem"]]
    return lines + [text for text in (dags["triggerer_problem"], dags["problem"]) if text]
