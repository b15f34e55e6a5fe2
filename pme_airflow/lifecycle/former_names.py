"""Moving what the ledger holds for a target's former names to its present name."""

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
    """Record a target's publications under its present name where an earlier version used another one.

    Without it their slots would be written a second time, and the first would never be edited again. A former name can
    be that of several targets; each takes what it finds to be in it.

    :return: how many were moved.
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
            log.info("%s: %d slots were recorded as %s before; they keep what they show.", target.name, len(own), name)
    return moved
