"""Flags of leaked links, committed before anything is revoked, and tombstones for tokens that are not known yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, text, update

from pme_airflow.ledger.bulk import insert_missing, one_of
from pme_airflow.ledger.conditions import is_not_flagged
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.link_models import opening
from pme_airflow.ledger.links import LinkRow, chunked, lock_unsealed
from pme_airflow.ledger.states import ALIVE
from pme_airflow.ledger.tables import flags, links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction
from pme_airflow.model_ids import MODEL_ID_LENGTH

__all__ = ["Flagged", "apply_tombstones", "flag", "keep_flags_out", "never_recorded", "tombstones_among"]

#: Names PostgreSQL's lock between those who flag and those who record new fingerprints; any number of one's own does.
_LOCK = 7_306_915
#: What a flag undoes of earlier attempts to revoke, so that the next sweep tries at once.
_TRY_NOW = {"next_attempt_at": None, "revoke_attempts": 0, "irrevocable": False, "sweep_owner": None,
            "sweep_until": None}  # fmt: skip


@dataclass(frozen=True)
class Flagged:
    """The result of a flag.

    :param links: the links it flagged, or found flagged, without their sealed texts.
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
    """Flag links, so that the next sweep revokes them, and tries at once those that it has tried before.

    Fingerprints of no link are kept as tombstones: a mint that records such a token later finds it flagged.

    :param fingerprints: of tokens that leaked, whichever client minted them.
    :param link_ids: of links that leaked, whichever client minted them.
    :param client_id: whose links of the models and audiences are flagged; ``None`` for every client's.
    """
    now = tx.now()
    _wait_for_mints(tx)
    by_fingerprint = _link_ids_of(tx, fingerprints)
    tombstones = tuple(f for f in dict.fromkeys(fingerprints) if f not in by_fingerprint)
    wanted = [link_id for found in by_fingerprint.values() for link_id in found]
    unknown: list[str] = []
    for name, condition in _named(link_ids, models, audiences, client_id):
        ids = tx.scalars(select(links.c.link_id).where(condition, _may_live)).all()
        wanted += ids
        unknown += [] if ids else [name]
    chosen = lock_unsealed(tx, wanted)
    _flag_links(tx, [row for row in chosen.values() if row.state in ALIVE], reason, now)
    _keep_tombstones(tx, tombstones, reason, now)
    return Flagged(tuple(chosen.values()), tombstones, tuple(unknown))


_may_live = links.c.state.in_(sorted(ALIVE))


def never_recorded(
    tx: ReadTransaction,
    link_ids: Sequence[str] = (),
    models: Sequence[str] = (),
    audiences: Sequence[str] = (),
    client_id: str | None = None,
) -> list[str]:
    """Return which link ids, models and audiences no link has, whatever its state, as messages name them.

    :param client_id: whose links of the models and audiences count; ``None`` for every client's.
    """
    named = _named(link_ids, models, audiences, client_id)
    return [name for name, condition in named if not tx.scalars(select(links.c.seq).where(condition).limit(1)).all()]


def _named(
    link_ids: Sequence[str], models: Sequence[str], audiences: Sequence[str], client_id: str | None
) -> Iterator[tuple[str, ColumnElement[bool]]]:
    """Yield each name once, as messages have it, and the condition on its links."""
    own: tuple[ColumnElement[bool], ...] = () if client_id is None else (links.c.client_id == client_id,)
    for value in dict.fromkeys(link_ids):
        yield f"link {value}", links.c.link_id == value
    for value in dict.fromkeys(models):
        yield _model_name(value), and_(opening([value]), *own)
    for value in dict.fromkeys(audiences):
        yield f"audience {value}", and_(links.c.audience.in_([value, viewer_audience(value)]), *own)


def _model_name(value: str) -> str:
    """Return a model's name for messages. The id of a View has the shape of a token, and is not repeated."""
    if len(value) != MODEL_ID_LENGTH:
        return f"the model whose id has {len(value)} characters (it may be a token: give a token with the tokens)"
    return f"model {value}"


def _link_ids_of(tx: ReadTransaction, fingerprints: Sequence[str]) -> dict[str, list[str]]:
    """Return the links of fingerprints, whatever their state; fingerprints of no link are left out."""
    found: dict[str, list[str]] = {}
    for chunk in chunked(dict.fromkeys(fingerprints)):
        query = select(links.c.fingerprint, links.c.link_id).where(links.c.fingerprint.in_(chunk))
        for fingerprint, link_id in tx.execute(query):
            found.setdefault(fingerprint, []).append(link_id)
    return found


def _flag_links(tx: WriteTransaction, rows: Sequence[LinkRow], reason: str, now: datetime) -> None:
    """Flag links; one that is flagged already keeps its time and reason, and is tried again at once."""
    for part in chunked(rows):
        named = links.c.link_id.in_([row.link_id for row in part])
        tx.execute(update(links).where(named).values(_TRY_NOW))
        tx.execute(update(links).where(named, is_not_flagged()).values(flagged_at=now, flag_reason=reason))
        again = [{**row.subject, "reason": f"again: {reason}"} for row in part if row.flagged_at is not None]
        record_events(tx, "flagged", [row.subject for row in part if row.flagged_at is None] + again, now, reason)


def _keep_tombstones(tx: WriteTransaction, fingerprints: Sequence[str], reason: str, now: datetime) -> None:
    rows = [
        {"fingerprint": fingerprint, "flagged_at": now, "reason": reason, "run": tx.run_context.run}
        for fingerprint in sorted(fingerprints)  # in one order, so that two who flag the same never deadlock
    ]
    insert_missing(tx, flags, rows)
    record_events(tx, "tombstone", [{"fingerprint": fingerprint} for fingerprint in fingerprints], now, reason)


def apply_tombstones(tx: WriteTransaction, fingerprints: Sequence[str], now: datetime) -> dict[str, datetime]:
    """Flag links whose fingerprint was flagged before it was known; return which, and when.

    :func:`keep_flags_out` was called before they were recorded.
    """
    flagged: dict[str, datetime] = {}
    for chunk in chunked(sorted(fingerprints)):
        query = select(flags.c.fingerprint, flags.c.reason).where(one_of(tx, flags.c.fingerprint, chunk))
        for fingerprint, reason in tx.execute(query.order_by(flags.c.fingerprint)).all():
            unflagged = links.c.fingerprint == fingerprint, is_not_flagged()
            tx.execute(update(links).where(*unflagged).values(flagged_at=now, flag_reason=reason))
            tx.execute(update(flags).where(flags.c.fingerprint == fingerprint).values(hit_at=now))
            flagged[fingerprint] = now
    return flagged


def tombstones_among(tx: ReadTransaction, fingerprints: Sequence[str]) -> list[str]:
    """Return which fingerprints were flagged before any link had them."""
    found: list[str] = []
    for chunk in chunked(fingerprints):
        query = select(flags.c.fingerprint).where(one_of(tx, flags.c.fingerprint, chunk), flags.c.hit_at.is_not(None))
        found += tx.scalars(query)
    return sorted(found)


def _wait_for_mints(tx: WriteTransaction) -> None:
    """Wait for transactions that record new fingerprints, and block others until this one ends.

    Without that, a token whose link is recorded while it is flagged would be met by neither: the flag sees no link yet,
    the mint no tombstone. Elsewhere than on PostgreSQL writers take turns anyway.
    """
    if tx.dialect == "postgresql":
        tx.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def keep_flags_out(tx: WriteTransaction) -> None:
    """Block flags until this transaction ends, and wait for running ones. Call it before anything else is locked.

    Any number of mints may do so at once.
    """
    if tx.dialect == "postgresql":
        tx.execute(text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})"))
