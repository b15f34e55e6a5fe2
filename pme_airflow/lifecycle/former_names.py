"""Moves publications that are recorded under a target's former name to its current name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import Target

__all__ = ["move_former_publications"]

_CHUNK = 500

log = logging.getLogger(__name__)


def move_former_publications(services: Services, run_context: RunContext, target: Target) -> int:
    """Move a target's publications from the names that earlier versions gave it to its current name.

    Otherwise their slots would be published a second time, and the existing ones would never be edited again. Several
    targets can share a former name; each moves only the publications that :meth:`Target.adopts` recognises as its own.

    :return: the number of publications that were moved.
    """
    moved = 0
    for name in target.former_names:
        if name == target.name:
            continue
        with services.database.read() as tx:
            found = publications.shown_at(tx, name)
        own = [publication for publication in found if target.adopts(publication)]
        for start in range(0, len(own), _CHUNK):
            chunk = own[start : start + _CHUNK]
            moved += len(services.database.run(run_context, partial(_move, chunk, target.name)))
        if own:
            log.info("%s: %d slots were recorded under the former name %s and are kept.", target.name, len(own), name)
    return moved


def _move(chunk: Sequence[Publication], name: str, tx: WriteTransaction) -> list[Publication]:
    return publications.move_to_target(tx, chunk, name)
