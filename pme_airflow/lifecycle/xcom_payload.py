"""What tasks pass to each other: items of links, or a reference to what the ledger holds if there are too many."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pme_airflow.errors import LedgerError, PMEInputError
from pme_airflow.ledger import manifests
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import item_of, newest_live_of
from pme_airflow.lifecycle.services import Services

__all__ = ["MAX_XCOM_ITEMS", "batches_payload", "items_in", "models_in", "reference_to_links", "reference_to_models"]

#: More links or models than this are passed as a reference: XCom values should stay small.
MAX_XCOM_ITEMS = 1000
_MANIFEST = "manifest"
#: How deep lists of items may be nested. Mapped tasks in a mapped group nest them twice.
_MAX_DEPTH = 4

log = logging.getLogger(__name__)


def reference_to_links(database: Database, audience: str, model_ids: Sequence[str]) -> dict[str, Any]:
    """Return a reference to the links of an audience's models: JSON without links."""
    name = database.run(None, lambda tx: manifests.keep(tx, model_ids, audience))
    return {_MANIFEST: name, "audience": audience, "links": len(model_ids)}


def reference_to_models(database: Database, model_ids: Sequence[str]) -> dict[str, Any]:
    """Return a reference to models: JSON."""
    name = database.run(None, lambda tx: manifests.keep(tx, model_ids))
    return {_MANIFEST: name, "models": len(model_ids)}


def batches_payload(database: Database, batches: Sequence[list[str]]) -> list[Any]:
    """Return batches of models as XCom carries them: ids, or references if there are over :data:`MAX_XCOM_ITEMS`."""
    if sum(map(len, batches)) <= MAX_XCOM_ITEMS:
        return list(batches)
    return [reference_to_models(database, batch) for batch in batches]


def models_in(database: Database, models: Mapping[str, Any]) -> list[str]:
    """Return the models of a reference.

    :raises PMEInputError: if it is no reference.
    :raises LedgerError: if the ledger does not hold it any more.
    """
    name = models.get(_MANIFEST)
    if not isinstance(name, str):
        raise PMEInputError('models: a mapping must be {"query": "…"}, with "*" for all, or a reference to a manifest.')
    return [model_id for page in manifests.pages(database, name) for model_id in page]


def items_in(services: Services, links: Any) -> Iterator[Any]:
    """Yield the items in one item, a reference, or lists of them as mapped tasks give; references are read in pages.

    A value that is no item is yielded unchanged, so that one slot fails and not all of them; so is a reference that the
    ledger does not have. ``None`` in place of a mapped task's output is skipped.

    :raises PMEInputError: if all of it is something else.
    """
    if isinstance(links, Mapping):
        yield from _items_of(services, links)
    elif isinstance(links, str | bytes) or not (links is None or isinstance(links, Iterable)):
        raise PMEInputError(
            f"links: expected items as PMEMintLinksOperator returns them, got a {type(links).__name__}. Pass "
            "mint.output."
        )
    elif links is not None:
        yield from _listed(services, links, 1)


def _listed(services: Services, entries: Iterable[Any], depth: int) -> Iterator[Any]:
    missing = plain = 0
    for entry in entries:
        if isinstance(entry, Mapping):
            plain += _MANIFEST not in entry
            yield from _items_of(services, entry)
        elif entry is None:
            missing += 1
        elif isinstance(entry, str | bytes) or not isinstance(entry, Iterable) or depth >= _MAX_DEPTH:
            yield entry
        else:
            yield from _listed(services, entry, depth + 1)
    if plain:  # among items None is a missing item; among outputs of mapped tasks it is a task without output
        yield from [None] * missing


def _items_of(services: Services, item: Mapping[str, Any]) -> Iterator[Any]:
    if _MANIFEST not in item:
        yield item
        return
    problem = ""
    try:
        yield from _referred(services, item)
    except LedgerError as error:
        problem = str(error)
    if problem:
        log.error("links: %s", problem)
        yield item


def _referred(services: Services, reference: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the newest live links of a reference's models, as they are now; models without one are left out.

    The audience is the one that the ledger kept with the models: XCom can be edited.
    """
    name = str(reference[_MANIFEST])
    audience = manifests.audience_of(services.database, name)
    if audience is None:
        raise LedgerError(
            f"manifest: {manifests.shown_name(name)} is not a list of links in the ledger. Clear the mint task."
        )
    for page in manifests.pages(services.database, name):
        with services.database.read() as tx:
            rows = newest_live_of(tx, services.client.client_id, audience, page)
        yield from (item_of(rows[model_id], model_id) for model_id in page if model_id in rows)
