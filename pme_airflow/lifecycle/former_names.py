"""Moves publications that are recorded under a target's former name to its current name."""

from __future__ import annotations

import logging

from pme_airflow.ledger import publications
from pme_airflow.ledger.run_context import RunContext
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
            with services.database.write(run_context) as tx:
                moved += len(publications.move_to_target(tx, own[start : start + _CHUNK], target.name))
        if own:
            log.info("%s: %d slots were recorded under the former name %s and are kept.", target.name, len(own), name)
    return moved
