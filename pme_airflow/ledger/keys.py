"""Builds the keys that the ledger's rows are found by: claims, slots, rate limits and manifests.

Each key is spelt here alone: two spellings of one key would be two keys, and what they protect would be protected no
more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

__all__ = [
    "api_key",
    "document_claim",
    "index_lock",
    "listing_key",
    "manifest_id",
    "mint_claim",
    "rate_limit_key",
    "slot_claim",
    "slot_key",
    "viewer_audience",
]


@lru_cache(maxsize=1024)  # a mint needs it twice, when it is recorded and when it is answered
def mint_claim(client_id: str, audience: str, model_id: str, viewer: str | None = None) -> str:
    """Return the key of the claim on minting a client's link of one model for an audience, or for one viewer of it."""
    return f"mint:{_digest(client_id, audience, model_id, *([viewer] if viewer else []))}"


def viewer_audience(audience: str) -> str:
    """Return the audience that the links of single viewers have in the ledger.

    No placement can name it, since it has a colon, so that a rotation neither reuses nor publishes a viewer's link.
    """
    return f"{audience}:viewers"


def slot_key(target: str, slot: str) -> str:
    """Return the key of a slot's publication: 64 characters, however long the names are."""
    return _digest(target, slot)


def slot_claim(target: str, slot: str) -> str:
    """Return the key of the claim on writing a slot."""
    return f"slot:{slot_key(target, slot)}"


def document_claim(target: str, document: str) -> str:
    """Return the key of the claim on writing a document that several slots share."""
    return f"document:{slot_key(target, document)}"


def index_lock(target: str) -> str:
    """Return the key of the claim on writing a target's index, which lists all of its slots."""
    return f"finish:{slot_key(target, '')}"


def rate_limit_key(host: str, client_id: str) -> str:
    """Return the key of the rate limit that one client's requests to one host share."""
    return _digest(host, client_id)


def api_key(host: str, client_id: str) -> str:
    """Return the key of what is known about one host's API, as one client sees it."""
    return _digest("api", host, client_id)


def listing_key(client_id: str, audience: str, query: str, exclude: Iterable[str]) -> str:
    """Return the key of what a client's account listed for an audience, without the models that were left out."""
    return _digest(client_id, audience, query, *exclude)


def manifest_id(model_ids: Iterable[str]) -> str:
    """Return the name of a list of models, which is its content's digest."""
    return f"sha256:{_digest(*model_ids)}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()
