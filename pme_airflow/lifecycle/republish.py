"""Put the links that slots show into them once more, for a target that shows them in another way now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pme_airflow.embed_params import EmbedParams
from pme_airflow.ledger import publications, slot_claims
from pme_airflow.ledger.links import by_ids, item_of
from pme_airflow.ledger.publications import Publication, SlotOwner
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.moved_slots import has_slot
from pme_airflow.lifecycle.publish import Publisher, PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink
from pme_airflow.targets.base import Target

__all__ = ["republish", "slots_to_republish"]


def slots_to_republish(
    services: Services, target: Target, audience: str, is_meant: Callable[[Publication], bool]
) -> Sequence[Publication]:
    """Return what a target shows of an audience's links in slots that it still has.

    :param is_meant: returns whether a slot is to be put once more.
    """
    owner = SlotOwner(services.client.client_id, audience)
    with services.database.read() as tx:
        shown = publications.shown_at(tx, target.name, owner)
    return [publication for publication in shown if is_meant(publication) and has_slot(target, publication)]


def republish(
    services: Services,
    run_context: RunContext,
    target: Target,
    slots: Sequence[Publication],
    open_item: Callable[[Mapping[str, Any]], OpenedLink] | None = None,
    params: EmbedParams | None = None,
) -> PublishResult:
    """Put the live links of slots into them once more. What does not succeed is put again by the next run.

    A slot whose link is not live any more is left to the next run, which brings a new link.

    :param slots: what :func:`slots_to_republish` returned.
    :param params: the Showcase parameters that are appended to the links.
    """
    with services.database.read() as tx:
        rows = by_ids(tx, [slot.link_id for slot in slots])
    usable = [slot for slot in slots if slot.link_id in rows and rows[slot.link_id].usable]
    uncertain = [slot.slot for slot in usable]
    services.database.run(run_context, lambda tx: slot_claims.set_uncertain(tx, target.name, uncertain))
    publisher = Publisher(services, run_context, target, open_item, params=params)
    return publisher.publish([item_of(rows[slot.link_id], slot.model_id) for slot in usable])
