"""Check in one request for up to 100 pages that they still show the links that were put into them."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.base import SlotCheck
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_content import shown_text
from pme_airflow.targets.wordpress_rest import WordPressApi, source_of

__all__ = ["check_pages", "holds_link"]

_PER_REQUEST = 100
#: How many pages that are missing from a list are read one by one: a plugin may list the pages of one language only.
_MAX_SINGLE = 20
#: What may be a token, whatever the link around it looks like.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,512}")


def holds_link(page: Mapping[str, Any], publication: Publication) -> bool:
    """Return whether a page holds the link of a publication, in its place or elsewhere."""
    content, model_id = source_of(page), publication.model_id
    tokens = tokens_of(content, model_id)
    known = publication.details.get("fingerprint")
    if known is None:
        return bool(tokens)
    tokens |= set(_TOKEN.findall(shown_text(content, model_id)))
    return any(fingerprint(AccessToken(token)) == known for token in tokens)


def check_pages(
    api: WordPressApi,
    shown: Sequence[Publication],
    holds: Callable[[Mapping[str, Any], Publication], bool] = holds_link,
) -> SlotCheck:
    """Check that pages still hold what was published in them.

    A page that was not saved since it was last read costs no request of its own. For the others the source is compared.

    :param holds: returns whether a page's source holds it.
    """
    lost: set[str] = set()
    details: dict[str, dict[str, Any]] = {}
    for kind, slots in _by_kind(shown).items():
        numbers = iter(slots)
        while some := list(islice(numbers, _PER_REQUEST)):
            pages = _saved_since(api, kind, some, slots)
            for number, page in pages.items():
                for publication in slots[number]:
                    if page is None or not holds(page, publication):
                        lost.add(publication.slot)
                    else:
                        details[publication.slot] = {**publication.details, "modified": page.get("modified_gmt")}
    return SlotCheck(lost, details)


def _by_kind(shown: Sequence[Publication]) -> dict[str, dict[int, list[Publication]]]:
    """Return publications by the type and number of the page that holds them."""
    found: defaultdict[str, defaultdict[int, list[Publication]]] = defaultdict(lambda: defaultdict(list))
    for publication in shown:
        kind, _, number = str(publication.details.get("path", "")).rpartition("/")
        if kind and number.isdecimal():
            found[kind][int(number)].append(publication)
    return {kind: dict(slots) for kind, slots in found.items()}


def _saved_since(
    api: WordPressApi, kind: str, numbers: Sequence[int], slots: Mapping[int, Sequence[Publication]]
) -> dict[int, Mapping[str, Any] | None]:
    """Return the pages that were saved since their links were put or seen; ``None`` for those that are gone."""
    listed = api.pages(kind, numbers, "id,modified_gmt")
    saved = [number for number, page in listed.items() if any(_was_saved(page, entry) for entry in slots[number])]
    pages: dict[int, Mapping[str, Any] | None] = {}
    if saved:
        pages |= api.pages(kind, saved, "id,modified_gmt,content.raw")
    missing = [number for number in numbers if number not in listed]
    for number in random.sample(missing, min(len(missing), _MAX_SINGLE)):
        pages[number] = _single(api, f"{kind}/{number}")
    return pages


def _was_saved(page: Mapping[str, Any], publication: Publication) -> bool:
    modified = page.get("modified_gmt")
    return not modified or publication.details.get("modified") != modified


def _single(api: WordPressApi, path: str) -> Mapping[str, Any] | None:
    try:
        page = api.page(path)
    except WebRefusal as error:
        if error.status in (404, 410) and error.code:
            return None
        raise
    return None if page.get("status") == "trash" else page
