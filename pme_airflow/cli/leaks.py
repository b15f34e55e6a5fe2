"""Print what a leak response selected, flagged and revoked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pme_airflow.cli.output import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from pme_airflow.ledger.links import LinkRow
    from pme_airflow.lifecycle.leak_response import LeakResponse
    from pme_airflow.lifecycle.services import Services
    from pme_airflow.lifecycle.sweep import SweepResult

__all__ = ["exit_status", "print_alive", "print_response", "print_selected", "print_unknown_tokens"]

_COLUMNS = ("fingerprint", "model_id", "audience", "state", "exposure", "irrevocable")
_MOST_LISTED = 20


def print_selected(rows: Sequence[LinkRow]) -> None:
    """Print the links that are about to be flagged, on standard error."""
    print_note(f"Links that match: {len(rows)}" + (":" if rows else "."))
    for row in rows[:_MOST_LISTED]:
        named = row.fingerprint or "no token yet"
        print_note(f"  {row.link_id}  {row.named_models}  audience {row.audience}  {named}")
    if len(rows) > _MOST_LISTED:
        audiences = ", ".join(sorted({row.audience for row in rows}))
        print_note(f"  and {len(rows) - _MOST_LISTED} more; together of audience {audiences}")


def print_response(response: LeakResponse, form: str, client_id: str) -> None:
    """Print a response: the links on standard output, the messages about what to do on standard error.

    :param client_id: the client of the connection that responded.
    """
    if form == "json":
        print_json(response.as_json())
    else:
        print_line(f"{response.summary}.")
        print_table(_COLUMNS, [link.as_json() for link in response.links], empty="No links.")
    for line in response.lines():
        print_note(line)
    if response.swept:
        print_other_clients({link.row.client_id for link in response.not_revoked} - {client_id})


def print_unknown_tokens(response: LeakResponse, given: Iterable[str]) -> bool:
    """Print that no token of a text is of a known link, where that is so; return whether it is.

    :param given: the fingerprints that were given as such: they may be of tokens that are recorded later.
    """
    unknown = set(response.tombstones) - set(given)
    if not unknown or response.links:
        return False
    print_note(
        f"NO LINK was flagged or revoked: {len(unknown)} tokens on standard input are of no link in this ledger, which "
        "keeps them flagged in case they are recorded later. Check that each is whole and that --conn-id names the "
        "connection that minted it; a link that is cut into lines is read if it is given with all of them."
    )
    return True


def print_alive(services: Services, result: SweepResult) -> None:
    """Print the leaked links that are alive after a sweep, why, until when, and what happens next."""
    from pme_airflow.lifecycle.leak_response import flagged_and_alive

    if result.promise_kept:
        return
    for link in flagged_and_alive(services, result):
        print_note(link.not_revoked_line)
    print_other_clients(other.client_id for other in result.other_clients)


def print_other_clients(client_ids: Iterable[str]) -> None:
    """Print which connection can revoke the live leaked links of other clients, on standard error."""
    from pme_airflow.hooks.client_connections import how_to_revoke

    for client_id in sorted(client_ids):
        print_note(f"Links of client {client_id} are NOT revoked by this connection. {how_to_revoke(client_id)}")


def exit_status(response: LeakResponse) -> int:
    """Return 0 if all that was given was flagged, and revoked where asked to; 2 if none of it could be read; else 1."""
    missed = response.outside or response.never_recorded
    if response.promise_kept and not missed:
        return 0
    return 1 if response.links or response.tombstones or missed or response.swept else 2
