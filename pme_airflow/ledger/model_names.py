"""The names of models, as the API gave them last; for people who read the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select, update

from pme_airflow.ledger.bulk import insert_missing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import chunked
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import models
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["known_names", "record_names"]


def known_names(tx: ReadTransaction, client_id: str, model_ids: list[str]) -> dict[str, str]:
    """Return the names of those of a client's models that have one."""
    found: dict[str, str] = {}
    for chunk in chunked(model_ids):
        query = select(models.c.model_id, models.c.name).where(
            models.c.client_id == client_id, models.c.model_id.in_(chunk)
        )
        found.update((row.model_id, row.name) for row in tx.execute(query))
    return found


def record_names(database: Database, run_context: RunContext, client_id: str, names: Mapping[str, str]) -> None:
    """Record names; where all are known already, nothing is written."""
    with database.read() as tx:
        known = known_names(tx, client_id, list(names))
    new = {model_id: name for model_id, name in sorted(names.items()) if known.get(model_id) != name}
    if not new:
        return
    rows = [{"client_id": client_id, "model_id": model_id, "name": name} for model_id, name in new.items()]

    def write(tx: WriteTransaction) -> None:
        insert_missing(tx, models, [row for row in rows if row["model_id"] not in known])
        for row in rows:
            which = models.c.client_id == client_id, models.c.model_id == row["model_id"]
            tx.execute(update(models).where(*which).values(name=row["name"]))

    database.run(run_context, write)
