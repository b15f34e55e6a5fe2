"""Previews: which links a flag or a sweep would end, and which slots would go dark; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import LedgerMissingError
from pme_airflow.ledger import audit
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.sweep_queue import due_links
from pme_airflow.ledger.transaction import ReadTransaction
from pme_airflow.lifecycle.leak_response import LeakRequest, select_leaked
from pme_airflow.lifecycle.leaked_links import never_recorded_lines
from pme_airflow.lifecycle.services import Services

__all__ = ["Preview", "preview_flag", "preview_sweep"]


@dataclass(frozen=True)
class Preview:
    """What would be ended.

    :param links: the links.
    :param slots: the slots that show one of them, and would be dark until the next run.
    :param problems: what could not be read, or names no link of the ledger, a sentence each.
    :param is_empty: whether nothing of the request could be read.
    """

    links: tuple[LinkRow, ...] = ()
    slots: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    is_empty: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the preview as JSON, without tokens."""
        return {
            "dry_run": True,
            "links": [audit.as_json(row) for row in self.links],
            "slots_that_go_dark": list(self.slots),
            "problems": list(self.problems),
        }


def preview_flag(services: Services, request: LeakRequest) -> Preview:
    """Return what a leak response would flag, and where those links are shown."""
    selected = select_leaked(services, request)
    problems = (*map(str, selected.problems), *never_recorded_lines(selected.never_recorded))
    if not selected.links:
        return Preview(problems=problems, is_empty=selected.is_empty)
    with services.database.read() as tx:
        return Preview(selected.links, tuple(_slots(tx, selected.links)), problems)


def preview_sweep(services: Services) -> Preview:
    """Return what a sweep would revoke now, and where those links are shown."""
    try:
        with services.database.read() as tx:
            rows = due_links(tx, services.client.client_id)
            return Preview(tuple(rows), tuple(_slots(tx, rows)))
    except LedgerMissingError:
        return Preview()


def _slots(tx: ReadTransaction, rows: Iterable[LinkRow]) -> Iterable[dict[str, Any]]:
    for row in rows:
        for slot in audit.shown_slots(tx, row.link_id):
            yield {**slot, "audience": row.audience, "link_id": row.link_id}
