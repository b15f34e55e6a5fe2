"""Finds links by their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from pme_airflow.ledger.links import LinkRow, chunked, fetch, query
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["by_fingerprint", "known_fingerprints", "links_of", "newest_minted"]


def by_fingerprint(tx: ReadTransaction, fingerprint: str) -> LinkRow | None:
    """Return the newest link of a fingerprint."""
    found = query().where(links.c.fingerprint == fingerprint).order_by(links.c.seq.desc()).limit(1)
    return next(iter(fetch(tx, found)), None)


def known_fingerprints(tx: ReadTransaction, fingerprints: Iterable[str]) -> list[str]:
    """Return those of some fingerprints that a link of the ledger has, each once."""
    known: dict[str, None] = {}
    for chunk in chunked(fingerprints):
        known.update(dict.fromkeys(tx.scalars(select(links.c.fingerprint).where(links.c.fingerprint.in_(chunk)))))
    return list(known)


def links_of(tx: ReadTransaction, fingerprints: Iterable[str]) -> list[LinkRow]:
    """Return the links of fingerprints, those that may be alive first, then the newest first."""
    rows: list[LinkRow] = []
    for chunk in chunked(fingerprints):
        rows += fetch(tx, query().where(links.c.fingerprint.in_(chunk)))
    return sorted(rows, key=lambda row: (row.state not in ALIVE, -row.seq))


def newest_minted(tx: ReadTransaction, client_id: str, audience: str) -> LinkRow | None:
    """Return the live link that was minted last for an audience."""
    live = links.c.state == State.LIVE, links.c.client_id == client_id, links.c.audience == audience
    return next(iter(fetch(tx, query().where(*live).order_by(links.c.seq.desc()).limit(1))), None)
