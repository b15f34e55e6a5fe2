"""Reads the list of the models that an application may see, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pme_airflow.api.documents import models_document
from pme_airflow.api.graph_endpoint import GraphEndpoint
from pme_airflow.errors import PMEProtocolError

__all__ = ["PAGE_SIZE", "model_pages"]

#: Models a page.
PAGE_SIZE = 100
#: A list with more pages than this (a million models) is treated as endless, and is an error.
_MAX_PAGES = 10_000


def model_pages(graph: GraphEndpoint, query: str) -> Iterator[dict[str, object]]:
    """Yield the pages of the models that match a query.

    :raises PMEError: where a page cannot be had.
    """
    offset: str | int | None = None
    seen: set[str | int] = set()
    while len(seen) < _MAX_PAGES:
        page = graph.query(partial(models_document, query, PAGE_SIZE, offset), "models")
        yield page
        following = page.get("nextOffset")
        if following is None or following == "":
            return
        if not isinstance(following, str | int) or following in seen:
            break
        seen.add(following)
        offset = following
    raise PMEProtocolError("The PME API's list of models does not end: an offset is repeated or of no known form.")
