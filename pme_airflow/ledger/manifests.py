"""Manifests: lists of models stored under a digest of their content, for lists that are too long for XCom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from pme_airflow.errors import LedgerError
from pme_airflow.ledger import keys
from pme_airflow.ledger.bulk import insert_missing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import listings, manifests
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction
from pme_airflow.sealing import is_fingerprint

__all__ = ["audience_of", "keep", "models_of", "pages"]

_PAGE = 500
#: How long a manifest is kept after it was last handed out: reruns of an older run make a new one. One that an account
#: listed last is kept for as long as it is that.
_KEPT = timedelta(days=7)
_TOUCHED = timedelta(days=1)
#: The page that holds a manifest's audience in place of models.
_AUDIENCE_PAGE = -1


def keep(tx: WriteTransaction, model_ids: Sequence[str], audience: str | None = None) -> str:
    """Store a list of models, once however often it is used; return its name.

    :param audience: whose links of these models are meant; part of the list's name.
    """
    entries = model_ids if audience is None else [f"audience {audience}", *model_ids]
    name = keys.manifest_id(entries)
    now = tx.now()
    first = select(manifests.c.seen_at).where(manifests.c.manifest_id == name, manifests.c.page == 0)
    seen: datetime | None = tx.scalar(first)
    if seen is None:
        compared = select(listings.c.manifest_id)  # what a query that is listed seldom is compared with next time
        tx.execute(delete(manifests).where(manifests.c.seen_at < now - _KEPT, manifests.c.manifest_id.not_in(compared)))
        pages = [(number, list(model_ids[start : start + _PAGE])) for number, start in
                 enumerate(range(0, len(model_ids), _PAGE))]  # fmt: skip
        if audience is not None:
            pages.append((_AUDIENCE_PAGE, [audience]))
        insert_missing(
            tx,
            manifests,
            [{"manifest_id": name, "page": number, "models": page, "seen_at": now} for number, page in pages],
        )
    elif seen < now - _TOUCHED:
        tx.execute(update(manifests).where(manifests.c.manifest_id == name).values(seen_at=now))
    return name


def models_of(tx: ReadTransaction, name: str) -> list[str]:
    """Return all models of a manifest; none where it is not kept any more."""
    query = select(manifests.c.models).where(manifests.c.manifest_id == name, manifests.c.page >= 0)
    return [model_id for page in tx.scalars(query.order_by(manifests.c.page)) for model_id in page]


def audience_of(database: Database, name: str) -> str | None:
    """Return the audience that a manifest was kept for; ``None`` if it is not kept, or was kept for none."""
    page = select(manifests.c.models).where(manifests.c.manifest_id == name, manifests.c.page == _AUDIENCE_PAGE)
    with database.read() as tx:
        found = tx.scalar(page)
    return str(found[0]) if found else None


def shown_name(name: str) -> str:
    """Return a manifest's name for an error message; what is no such name came from outside and is not shown."""
    return name if is_fingerprint(name) else "the reference"


def pages(database: Database, name: str) -> Iterator[list[str]]:
    """The models of a manifest, page by page.

    :raises LedgerError: where it is not kept any more.
    """
    number = 0
    while True:
        page = select(manifests.c.models).where(manifests.c.manifest_id == name, manifests.c.page == number)
        with database.read() as tx:
            models = tx.scalar(page)
        if models is None:
            break
        yield list(models)
        number += 1
    if not number:
        raise LedgerError(
            f"manifest: {shown_name(name)} is not in the ledger; lists are kept for {_KEPT.days} days. Clear the task "
            "that returned it, so that it returns a new one."
        )
