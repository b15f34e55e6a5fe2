"""Finds slots that show another audience a link of another DAG: a run takes none of them over."""

from __future__ import annotations

from collections.abc import Mapping

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.lifecycle.services import Services

__all__ = ["foreign_slots"]


def foreign_slots(
    services: Services,
    shown: Mapping[str, Publication | None],
    audiences: Mapping[str, str],
    publishers: frozenset[str] | None,
) -> dict[str, str]:
    """Return the slots that show another audience a live link of another DAG, each with the reason to leave it alone.

    :param shown: what each slot shows so far.
    :param audiences: the audience that each slot is to be given to.
    :param publishers: the DAGs whose slots may be given to another audience; ``None`` for all.
    """
    if publishers is None:
        return {}
    others = {
        slot: publication
        for slot, publication in shown.items()
        if publication is not None and _is_foreign(publication, audiences[slot], publishers)
    }
    if not others:
        return {}
    with services.database.read() as tx:
        live = publications.still_live(tx, [publication.link_id for publication in others.values()])
    return {
        slot: f"it shows model {found.model_id} to audience {found.audience}, published by DAG {found.publisher}; "
        "give each audience a place of its own, or retire that one first"
        for slot, found in others.items()
        if found.link_id in live
    }


def _is_foreign(shown: Publication, audience: str, publishers: frozenset[str]) -> bool:
    return shown.publisher is not None and shown.audience != audience and shown.publisher not in publishers
