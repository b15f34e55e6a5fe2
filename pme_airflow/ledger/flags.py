"""Flags: what leaked, committed before anything else is done about it, and tombstones for tokens not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.links import LinkRow, chunked, lock
from pme_airflow.ledger.states import ALIVE
from pme_airflow.ledger.tables import flags, links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["Flagged", "flag", "tombstones_among"]

_named = select(links.c.link_id, links.c.fingerprint)


@dataclass(frozen=True)
class Flagged:
    """What a flag met.

    :param links: the links it flagged, or found flagged.
    :param tombstones: fingerprints no link has yet; kept.
    :param unknown: link ids, models and audiences of which nothing is alive.
    """

    links: tuple[LinkRow, ...] = ()
    tombstones: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def flag(
    tx: WriteTransaction,
    reason: str,
    fingerprints: Sequence[str] = (),
    link_ids: Sequence[str] = (),
    models: Sequence[str] = (),
    audiences: Sequence[str] = (),
    client_id: str | None = None,
) -> Flagged:
    """Flag links. Fingerprints of no link are kept as tombstones, so that a later mint finds itself flagged.

    :param fingerprints: of tokens that leaked, whichever client minted them.
    :param link_ids: of links that leaked, whichever client minted them.
    :param client_id: whose links of the models and audiences are flagged; ``None`` for every client's.
    """
    now = tx.now()
    wanted: list[str] = []
    unknown: list[str] = []
    met: set[str] = set()
    for chunk in chunked(dict.fromkeys(fingerprints)):
        for row in tx.execute(_named.where(links.c.fingerprint.in_(chunk))):
            met.add(row.fingerprint)
            wanted.append(row.link_id)
    tombstones = tuple(fingerprint for fingerprint in dict.fromkeys(fingerprints) if fingerprint not in met)
    alive = links.c.state.in_(sorted(ALIVE))
    for label, column, values in (
        ("link", links.c.link_id, link_ids),
        ("model", links.c.model_id, models),
        ("audience", links.c.audience, audiences),
    ):
        for value in dict.fromkeys(values):
            ids = [row.link_id for row in tx.execute(_named.where(column == value, alive))]
            wanted += ids
            if not ids:
                unknown.append(f"{label} {value}")
    chosen = lock(tx, wanted)
    fresh = [row for row in chosen.values() if row.state in ALIVE and row.flagged_at is None]
    for chunk in chunked(row.link_id for row in fresh):
        tx.execute(
            update(links)
            .where(links.c.link_id.in_(chunk), links.c.flagged_at.is_(None))
            .values(flagged_at=now, flag_reason=reason, next_attempt_at=None, revoke_attempts=0)
        )
    record_events(tx, "flagged", [row.subject for row in fresh], now, reason)
    rows = [
        {"fingerprint": fingerprint, "flagged_at": now, "reason": reason, "run": tx.run_context.run}
        for fingerprint in tombstones
    ]
    tx.insert_missing(flags, rows)
    record_events(tx, "tombstone", [{"fingerprint": fingerprint} for fingerprint in tombstones], now, reason)
    return Flagged(tuple(chosen.values()), tombstones, tuple(unknown))


def tombstones_among(tx: ReadTransaction, fingerprints: Sequence[str]) -> list[str]:
    """Return which fingerprints were flagged before any link had them."""
    found: list[str] = []
    for chunk in chunked(fingerprints):
        query = select(flags.c.fingerprint).where(flags.c.fingerprint.in_(chunk), flags.c.hit_at.is_not(None))
        found += tx.scalars(query)
    return sorted(found)
