"""Keeping live links under the newest key."""

from __future__ import annotations

import logging

from pme_airflow.errors import PMESealError
from pme_airflow.ledger import audit
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services

__all__ = ["reseal"]

log = logging.getLogger(__name__)


def reseal(services: Services, run_context: RunContext) -> tuple[int, int]:
    """Seal every live link anew with the newest key.

    :return: how many were resealed, and how many no key at hand opens.
    """
    done = unopened = after = 0
    while True:
        with services.database.read() as tx:
            rows = audit.sealed_rows(tx, after)
        if not rows:
            return done, unopened
        after = rows[-1].seq
        with services.database.write(run_context) as tx:
            now = tx.now()
            for row in rows:
                sealed = row.sealed or ""
                if services.sealer.is_current(sealed):
                    continue
                try:
                    opened = services.sealer.open(sealed, row.link_id, row.model_id)
                except PMESealError as error:
                    log.error("%s", error)
                    unopened += 1
                    continue
                fresh = services.sealer.seal(opened, row.link_id, row.model_id)
                audit.replace_sealed(tx, row, fresh, now)
                done += 1
