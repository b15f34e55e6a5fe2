"""Slots that are one place under two names: the former name is withdrawn without clearing what the place shows now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.moved_slots import has_slot
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import Target

__all__ = ["Clearing", "FormerNames"]


@dataclass(frozen=True)
class Clearing:
    """Why slots are cleared, and how long their links stay alive."""

    reason: str
    grace: timedelta


class FormerNames:
    """Finds slots that are former names of a place that another slot shows a link at.

    :param withdrawn: called with each slot that was withdrawn.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: Target,
        clearing: Clearing,
        withdrawn: Callable[[Publication], None],
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._clearing = clearing
        self._withdrawn = withdrawn

    def without(self, going: Iterable[Publication]) -> Iterator[Publication]:
        """Withdraw the former names among slots that are to be cleared, and yield the other slots."""
        places: dict[str, dict[str, str]] | None = None
        for publication in going:
            places = self._places() if places is None else places
            slots = places.get(self._target.place(publication), {})
            own = slots.get(publication.slot, self._document(publication))
            if has_slot(self._target, publication) or all(document == own for document in slots.values()):
                yield publication
            else:
                self._withdraw(publication)
                slots.pop(publication.slot, None)

    def _places(self) -> dict[str, dict[str, str]]:
        """Return the slots at each place that the target shows something at, each with its document."""
        with self._services.database.read() as tx:
            shown = publications.shown_at(tx, self._target.name)
        places: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for publication in shown:
            places[self._target.place(publication)][publication.slot] = self._document(publication)
        return places

    def _document(self, publication: Publication) -> str:
        return self._target.document(publication.slot) or publication.slot

    def _withdraw(self, publication: Publication) -> None:
        reason, grace = self._clearing.reason, self._clearing.grace
        self._services.database.run(
            self._run_context, lambda tx: publications.withdraw(tx, [publication], reason, grace)
        )
        self._withdrawn(publication)
