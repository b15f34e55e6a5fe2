"""Find the links of the ledger whose tokens a scanner's report lists."""

from __future__ import annotations

import hashlib

from pme_airflow.leaks.reports import Findings
from pme_airflow.ledger import lookup
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink

__all__ = ["known_fingerprints"]


def known_fingerprints(services: Services, findings: Findings) -> list[str]:
    """Return the fingerprints of the known links whose tokens a report lists."""
    with services.database.read() as tx:
        known = lookup.known_fingerprints(tx, findings.fingerprints)
    return list(dict.fromkeys([*known, *_by_sha1(services, findings.sha1)]))


def _by_sha1(services: Services, digests: frozenset[str]) -> list[str]:
    """Return the fingerprints of live links whose token, ``Bearer+token`` or address has one of the digests."""
    if not digests:
        return []
    return [
        row.fingerprint
        for row, opened in services.live_links()
        if row.fingerprint and opened is not None and _digests(opened) & digests
    ]


def _digests(opened: OpenedLink) -> set[str]:
    """Return the SHA-1 digests of what a scanner may have captured of a link."""
    token, urls = opened.token.reveal(), [url.reveal() for url in opened.urls]
    forms = (token, f"Bearer+{token}", f"Bearer {token}", f"Bearer%20{token}", *urls)
    forms += tuple(url.replace("+", "%20") for url in urls)
    return {hashlib.sha1(form.encode(), usedforsecurity=False).hexdigest() for form in forms}
