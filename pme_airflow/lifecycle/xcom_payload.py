"""What one task hands to the next: items of links; past a limit, a reference to what the ledger holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.ledger import manifests
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import item_of, newest_live_of
from pme_airflow.lifecycle.services import Services

__all__ = ["MAX_XCOM_ITEMS", "batches_payload", "items_in", "models_in", "reference_to_links", "reference_to_models"]

#: Beyond so many, links and models are handed on by reference: a message between tasks is no place for a hundred
#: thousand of them.
MAX_XCOM_ITEMS = 1000
_MANIFEST = "manifest"


def reference_to_links(database: Database, audience: str, model_ids: Sequence[str]) -> dict[str, Any]:
    """A reference to the links of an audience's models: JSON without links."""
    return {_MANIFEST: _kept(database, model_ids), "audience": audience, "links": len(model_ids)}


def reference_to_models(database: Database, model_ids: Sequence[str]) -> dict[str, Any]:
    """A reference to models: JSON."""
    return {_MANIFEST: _kept(database, model_ids), "models": len(model_ids)}


def batches_payload(database: Database, batches: Sequence[list[str]]) -> list[Any]:
    """Batches of models as XCom carries them: ids, or references where there are more than :data:`MAX_XCOM_ITEMS`."""
    if sum(map(len, batches)) <= MAX_XCOM_ITEMS:
        return list(batches)
    return [reference_to_models(database, batch) for batch in batches]


def _kept(database: Database, model_ids: Sequence[str]) -> str:
    with database.write() as tx:
        return manifests.keep(tx, model_ids)


def models_in(database: Database, models: Mapping[str, Any]) -> list[str]:
    """The models of a reference.

    :raises PMEInputError: where it is none.
    :raises LedgerError: where the ledger holds it no more.
    """
    name = models.get(_MANIFEST)
    if not isinstance(name, str):
        raise PMEInputError('models: a mapping must be {"query": "…"}, with "*" for all, or a reference to a manifest.')
    return [model_id for page in manifests.pages(database, name) for model_id in page]


def items_in(services: Services, links: Any) -> Iterator[Mapping[str, Any]]:
    """The items in one item, a reference, or lists of them as mapped tasks give; references are read page by page.

    :raises PMEInputError: where something else is in it.
    :raises LedgerError: where the ledger holds a reference no more.
    """
    if links is None:
        return
    if isinstance(links, Mapping):
        if _MANIFEST in links:
            yield from _referred(services, links)
        else:
            yield links
    elif isinstance(links, str) or not isinstance(links, Iterable):
        raise PMEInputError(
            f"links: expected items as PMEMintLinksOperator returns them, got a {type(links).__name__}. Pass "
            "mint.output."
        )
    else:
        for part in links:
            yield from items_in(services, part)


def _referred(services: Services, reference: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The newest live links of a reference's models, as they are now; models without one are passed over."""
    client_id, audience = services.client.client_id, str(reference.get("audience"))
    for page in manifests.pages(services.database, str(reference[_MANIFEST])):
        with services.database.read() as tx:
            rows = newest_live_of(tx, client_id, audience, page)
        yield from (item_of(rows[model_id]) for model_id in page if model_id in rows)
