"""Our own scan: the ledger's live tokens, looked for in places, and what stands where."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pme_airflow import __version__
from pme_airflow.leaks.stream_search import Hit
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.ledger.links import LinkRow
from pme_airflow.lifecycle.services import Services
from pme_airflow.secrets import AccessToken

__all__ = ["LiveTokens", "as_sarif", "live_tokens"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveTokens:
    """What is looked for, and whose it is.

    :param needles: the live tokens.
    :param links: the link of each fingerprint.
    """

    needles: TokenMatcher
    links: dict[str, LinkRow]

    def told(self, hits: Iterable[Hit]) -> Iterator[dict[str, Any]]:
        """Hits as JSON, without tokens."""
        for hit in hits:
            row = self.links[hit.fingerprint]
            yield {
                "fingerprint": hit.fingerprint,
                "link_id": row.link_id,
                "model_id": row.model_id,
                "audience": row.audience,
                "path": hit.path,
                "offset": hit.offset,
            }


def live_tokens(services: Services) -> LiveTokens:
    """The tokens the ledger holds alive, whichever client they were minted by, as far as the keys open them."""
    tokens: list[AccessToken] = []
    links: dict[str, LinkRow] = {}
    unopened = 0
    for row, opened in services.live_links():
        if opened is None:
            unopened += 1
            continue
        tokens.append(opened.token)
        links[row.fingerprint or ""] = row
    if unopened:
        log.warning("%d live links cannot be looked for: no key of the connection opens them.", unopened)
    return LiveTokens(TokenMatcher(tokens), links)


def as_sarif(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Findings as SARIF 2.1.0 (OASIS), for code scanning tools; never a token in it."""
    rule = {
        "id": "pme-live-link",
        "shortDescription": {"text": "A live private-embed link"},
        "help": {"text": "Flag it: pme-airflow ledger flag --sweep FINGERPRINT"},
    }
    results = [
        {
            "ruleId": "pme-live-link",
            "level": "error",
            "message": {"text": f"A live link of model {hit['model_id']} ({hit['audience']}), {hit['fingerprint']}."},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": hit["path"]},
                        "region": {"byteOffset": hit["offset"]},
                    }
                }
            ],
            "partialFingerprints": {"pmeFingerprint/v1": hit["fingerprint"]},
        }
        for hit in found
    ]
    driver = {"name": "pme-airflow scan", "version": __version__, "rules": [rule]}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
