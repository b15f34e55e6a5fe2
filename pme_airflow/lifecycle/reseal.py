"""Keeping live links under the newest key."""

from __future__ import annotations

import logging

from pme_airflow.errors import PMESealError
from pme_airflow.ledger import audit
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services

__all__ = ["reseal"]

log = logging.getLogger(__name__)


def reseal(services: Services, actor: RunContext) -> tuple[int, int]:
    """Seal every live link anew with the newest key.

    :return: how many were resealed, and how many no key at hand opens.
    """
    done = unopened = after = 0
    while True:
        with services.database.read() as connection:
            rows = audit.sealed_rows(connection, after)
        if not rows:
            return done, unopened
        after = rows[-1].seq
        with services.database.write() as connection:
            now = services.database.shared_now(connection)
            for row in rows:
                sealed = row.sealed or ""
                if f":{services.sealer.key_id}:" in sealed:
                    continue
                try:
                    opened = services.sealer.open(sealed, row.link_id, row.model_id)
                except PMESealError as error:
                    log.error("%s", error)
                    unopened += 1
                    continue
                fresh = services.sealer.seal(opened, row.link_id, row.model_id)
                audit.replace_sealed(connection, row, fresh, actor, now)
                done += 1
