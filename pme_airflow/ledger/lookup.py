"""Finding links by what names them."""

from __future__ import annotations

from pme_airflow.ledger.links import LinkRow, load, query
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["by_fingerprint"]


def by_fingerprint(tx: ReadTransaction, mark: str) -> LinkRow | None:
    """The newest link of a fingerprint."""
    found = query().where(links.c.fingerprint == mark).order_by(links.c.seq.desc()).limit(1)
    row = tx.execute(found).one_or_none()
    return None if row is None else load(row)
