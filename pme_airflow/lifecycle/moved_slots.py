"""Finds slots that a target still shows of models that have other slots there now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pme_airflow.errors import SlotError
from pme_airflow.ledger import selections
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import chunked
from pme_airflow.ledger.publications import Publication, SlotOwner
from pme_airflow.ledger.selections import Selection
from pme_airflow.targets.base import Target

__all__ = ["has_slot", "moved_slots"]


def has_slot(target: Target, publication: Publication) -> bool:
    """Return whether a target has the slot of a publication for its model.

    It may have any while it cannot name its slots: after a temporary failure, or a fault of the target.
    """
    item = {"model_id": publication.model_id, "audience": publication.audience, "link_id": publication.link_id}
    try:
        return publication.slot in target.slots(item)
    except SlotError as error:
        return not error.permanent
    except Exception:  # noqa: BLE001 - a target of any author may raise anything
        return True


def moved_slots(
    database: Database, target: str, owner: SlotOwner, wanted: Mapping[str, Collection[str]]
) -> Iterator[Publication]:
    """Yield what an owner's slots at a target show that are not among the slots of their model.

    :param target: the target's name.
    :param wanted: the slots of each model. Other models are left out.
    """
    for models in chunked(wanted):
        selection = Selection(
            owner.client_id, frozenset({owner.audience}), frozenset(models), frozenset({target}), owner.publishers
        )
        for publication in selections.shown(database, selection):
            if publication.slot not in wanted[publication.model_id]:
                yield publication
