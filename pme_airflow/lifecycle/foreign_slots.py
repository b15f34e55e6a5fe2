"""Finds slots that show another audience a link, and that a run must not take over or leave as they are."""

from __future__ import annotations

from collections.abc import Mapping

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.lifecycle.services import Services

__all__ = ["foreign_slots"]


def foreign_slots(
    services: Services,
    plans: Mapping[str, SlotPlan],
    audiences: Mapping[str, str],
    publishers: frozenset[str] | None,
    named: frozenset[str] | None = None,
) -> dict[str, str]:
    """Return the slots that show another audience a live link of another DAG, each with the reason to leave it alone.

    A slot that shows a later link than the one that is wanted is among them where its audience is still published for:
    two audiences share the place, and this one is not shown.

    :param plans: what is to be done about each slot.
    :param audiences: the audience that each slot is to be given to.
    :param publishers: the DAGs whose slots may be given to another audience; ``None`` for all.
    :param named: the audiences that are published for; ``None`` if they are not known, so that any may be.
    """
    if publishers is None:
        return {}
    others = {
        slot: plan.previous
        for slot, plan in plans.items()
        if plan.previous is not None
        and plan.previous.audience != audiences.get(slot, plan.previous.audience)
        and _is_foreign(plan, plan.previous, publishers, named)
    }
    if not others:
        return {}
    passed = services.server_time_lower_bound()
    with services.database.read() as tx:
        live = publications.still_live(tx, [publication.link_id for publication in others.values()], passed)
    return {
        slot: f"it shows model {found.model_id} to audience {found.audience}, published by {_publisher_of(found)}; "
        "give each audience a place of its own, or retire that one first"
        for slot, found in others.items()
        if found.link_id in live
    }


def _is_foreign(plan: SlotPlan, shown: Publication, publishers: frozenset[str], named: frozenset[str] | None) -> bool:
    if plan.action not in (SlotAction.PUT, SlotAction.NEWER):
        return False
    if shown.publisher is not None and shown.publisher not in publishers:
        return True
    return plan.action is SlotAction.NEWER and (named is None or shown.audience in named)


def _publisher_of(shown: Publication) -> str:
    return "a command" if shown.publisher is None else f"DAG {shown.publisher}"
