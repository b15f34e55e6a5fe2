"""Claims on documents that several slots share, so that one run at a time writes each of them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from pme_airflow.ledger import claims, keys
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.tables import publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["hold", "release", "shown_from", "take"]


def take(tx: WriteTransaction, target: str, documents: Iterable[str]) -> set[str]:
    """Claim documents; return those that no other run has claimed."""
    wanted = {keys.document_claim(target, document): document for document in documents}
    return {wanted[key] for key in claims.take(tx, wanted)} if wanted else set()


def hold(tx: WriteTransaction, target: str, document: str) -> bool:
    """Return whether this run still holds a document's claim, and keep others from taking it in this transaction."""
    return bool(claims.held(tx, [keys.document_claim(target, document)]))


def release(tx: WriteTransaction, target: str, documents: Iterable[str]) -> None:
    """Release documents; does nothing where another run holds the claim."""
    claims.release(tx, [keys.document_claim(target, document) for document in documents])


def shown_from(tx: ReadTransaction, target: str, beginning: str) -> list[Publication]:
    """Return what the slots of a target show whose names begin with a text; uncertain slots are included."""
    query = select(publications).where(
        publications.c.target == target, publications.c.slot.startswith(beginning, autoescape=True)
    )
    return [Publication(**row._mapping) for row in tx.execute(query.order_by(publications.c.slot))]
