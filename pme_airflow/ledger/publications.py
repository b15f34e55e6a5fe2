"""Publications: which slot shows which link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, select, update

from pme_airflow.ledger import claims, keys
from pme_airflow.ledger.conditions import found_live, is_not_flagged
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.link_models import SHARED
from pme_airflow.ledger.links import LinkRow, chunked, lock
from pme_airflow.ledger.retirements import DEFAULT_GRACE, Retirement, retire_unshown
from pme_airflow.ledger.tables import links, publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "DEFAULT_GRACE",
    "NotRecorded",
    "Publication",
    "Shown",
    "SlotLink",
    "SlotOwner",
    "models_at",
    "move_to_target",
    "publications_in",
    "publish",
    "record_details",
    "shown_at",
    "shown_in",
    "shown_to",
    "shows_later",
    "still_live",
    "withdraw",
]


@dataclass(frozen=True)
class Publication:
    """What a slot shows.

    :param link_seq: the link's place in the order they were requested; 0 while the slot is uncertain, see
        :func:`~.slot_claims.set_uncertain`.
    :param client_id: the client that minted the link; ``None`` where a version before this one recorded it.
    :param publisher: the DAG that published; ``None`` for a command.
    """

    slot_key: str
    target: str
    slot: str
    link_id: str
    link_seq: int
    model_id: str
    audience: str
    published_at: datetime
    run: str
    details: dict[str, Any] = field(repr=False)
    client_id: str | None = None
    publisher: str | None = None


@dataclass(frozen=True)
class SlotLink:
    """A link, and which of its models a slot shows it for."""

    link_id: str
    model_id: str


@dataclass(frozen=True)
class SlotOwner:
    """Whose slots: what one client's links are shown in for an audience.

    :param publishers: the DAGs that published; ``None`` for all.
    """

    client_id: str
    audience: str
    publishers: frozenset[str] | None = None

    def where(self) -> ColumnElement[bool]:
        """Return what a publication must fulfil to be the owner's."""
        own = and_(publications.c.client_id == self.client_id, publications.c.audience == self.audience)
        return own if self.publishers is None else and_(own, publications.c.publisher.in_(sorted(self.publishers)))


@dataclass(frozen=True)
class Shown:
    """A slot that was put and read back.

    :param details: what the target needs to edit the slot in place; never a link or a token.
    :param grace: how long the link that was shown before is left alive.
    :param model_id: the model that is shown; needed for a link that opens several.
    """

    slot: str
    link_id: str
    details: dict[str, Any] = field(repr=False)
    grace: timedelta = DEFAULT_GRACE
    model_id: str | None = None

    def model_of(self, link: LinkRow) -> str | None:
        """Return the model that is shown; ``None`` where the link does not open it."""
        if link.model_id != SHARED:
            return link.model_id
        return self.model_id if self.model_id in link.models else None


class NotRecorded(Enum):
    """Why :func:`publish` did not record a slot; the value is the reason as a sentence's end."""

    CLAIM_LOST = "the slot was claimed by another run meanwhile"
    UNKNOWN_LINK = "the ledger knows no such link"
    SHOWS_LATER_LINK = "the slot shows a later link"
    OTHER_MODEL = "the link opens several models, and not the one that is shown"

    def __str__(self) -> str:
        return self.value


def shown_at(
    tx: ReadTransaction, target: str, owner: SlotOwner | None = None, model_id: str | None = None
) -> list[Publication]:
    """Return what a target shows, or what it shows of an owner's, or of a model."""
    query = select(publications).where(publications.c.target == target)
    if owner is not None:
        query = query.where(owner.where())
    if model_id is not None:
        query = query.where(publications.c.model_id == model_id)
    return [Publication(**row._mapping) for row in tx.execute(query.order_by(publications.c.slot))]


def shown_in(tx: ReadTransaction, target: str, slots: Sequence[str]) -> dict[str, SlotLink]:
    """Return the link that each of some slots of a target shows; uncertain slots are left out."""
    slot_keys = [keys.slot_key(target, slot) for slot in slots]
    query = select(publications.c.slot, publications.c.link_id, publications.c.model_id).where(
        publications.c.slot_key.in_(slot_keys), publications.c.link_seq > 0
    )
    return {row.slot: SlotLink(row.link_id, row.model_id) for row in tx.execute(query)}


def models_at(tx: ReadTransaction, target: str, owner: SlotOwner) -> dict[str, datetime]:
    """Return the models that a target shows of an owner's, each with the latest time it was published there."""
    query = select(publications.c.model_id, func.max(publications.c.published_at)).where(
        publications.c.target == target, owner.where()
    )
    return {row[0]: row[1] for row in tx.execute(query.group_by(publications.c.model_id))}


def shown_to(tx: ReadTransaction, owner: SlotOwner) -> list[Publication]:
    """Return all that an owner shows, at whatever target."""
    rows = tx.execute(select(publications).where(owner.where()))
    return [Publication(**row._mapping) for row in rows]


def still_live(tx: ReadTransaction, link_ids: Sequence[str], passed: datetime) -> set[str]:
    """Return which links are live and not flagged.

    :param passed: a time that has certainly passed: a link that ended before it is not live, closed by a sweep or not.
    """
    live: set[str] = set()
    for chunk in chunked(link_ids):
        alive = (found_live(), is_not_flagged(), links.c.valid_until > passed)
        query = select(links.c.link_id).where(links.c.link_id.in_(chunk), *alive)
        live.update(tx.scalars(query))
    return live


def publications_in(tx: ReadTransaction, target: str, slots: Iterable[str]) -> dict[str, Publication]:
    """Return what some slots of a target show, by slot; uncertain slots are included."""
    found: dict[str, Publication] = {}
    for chunk in chunked(keys.slot_key(target, slot) for slot in slots):
        query = select(publications).where(publications.c.slot_key.in_(chunk))
        found.update((row.slot, Publication(**row._mapping)) for row in tx.execute(query))
    return found


def record_details(tx: WriteTransaction, details: Sequence[tuple[Publication, Mapping[str, Any]]]) -> None:
    """Replace the details of publications that are still the same; those published anew meanwhile keep theirs."""
    for publication, new in details:
        same = (
            publications.c.slot_key == publication.slot_key,
            publications.c.link_id == publication.link_id,
            publications.c.published_at == publication.published_at,
        )
        tx.execute(update(publications).where(*same).values(details=dict(new)))


def move_to_target(tx: WriteTransaction, moved: Sequence[Publication], target: str) -> list[Publication]:
    """Record publications under another name of their target.

    :return: those that were moved; a slot that the new name has already is left alone.
    """
    taken = publications_in(tx, target, [publication.slot for publication in moved])
    free = [publication for publication in moved if publication.slot not in taken]
    for publication in free:
        same = publications.c.slot_key == publication.slot_key, publications.c.link_id == publication.link_id
        new = {"target": target, "slot_key": keys.slot_key(target, publication.slot)}
        tx.execute(update(publications).where(*same).values(new))
    subjects = [
        {
            "link_id": p.link_id,
            "model_id": p.model_id,
            "audience": p.audience,
            "reason": f"{target} is the name of {p.target} now; it shows it at {p.slot}",
            "target": target,
            "slot": p.slot,
        }
        for p in free
    ]
    record_events(tx, "published", subjects, tx.now(), "")
    return free


def shows_later(previous: Publication, link: LinkRow, known: Mapping[str, LinkRow]) -> bool:
    """Return whether a slot shows a later link than this one, or is uncertain and its later link is still usable."""
    if previous.link_id == link.link_id:
        return False
    if previous.link_seq > 0:
        return previous.link_seq > link.seq
    shown = known.get(previous.link_id)
    return shown is not None and shown.usable and shown.seq > link.seq


def publish(
    tx: WriteTransaction, target: str, shown: Sequence[Shown], *, claimed: bool = True
) -> dict[str, NotRecorded]:
    """Record what slots show now, and retire the links they showed where no other slot shows those.

    :param shown: no slot twice.
    :param claimed: whether :func:`~.slot_claims.open_slots` claimed the slots before.
    :return: the slots that were not recorded, each with the reason.
    """
    claim_keys = {entry.slot: keys.slot_claim(target, entry.slot) for entry in shown}
    held = claims.held(tx, claim_keys.values()) if claimed else set(claim_keys.values())
    previous = publications_in(tx, target, claim_keys)
    known = lock(tx, [*(entry.link_id for entry in shown), *(p.link_id for p in previous.values())])
    refused = {
        entry.slot: reason
        for entry in shown
        if (reason := _refusal(entry, claim_keys[entry.slot] in held, previous.get(entry.slot), known)) is not None
    }
    taken = [entry for entry in shown if entry.slot not in refused]
    if taken:
        _record(tx, target, taken, previous, known)
        claims.release(tx, [claim_keys[entry.slot] for entry in taken])
    return refused


def _refusal(
    entry: Shown, is_held: bool, previous: Publication | None, known: Mapping[str, LinkRow]
) -> NotRecorded | None:
    link = known.get(entry.link_id)
    if not is_held:
        return NotRecorded.CLAIM_LOST
    if link is None:
        return NotRecorded.UNKNOWN_LINK
    if entry.model_of(link) is None:
        return NotRecorded.OTHER_MODEL
    if previous is not None and shows_later(previous, link, known):
        return NotRecorded.SHOWS_LATER_LINK
    return None


def _record(
    tx: WriteTransaction,
    target: str,
    taken: Sequence[Shown],
    previous: Mapping[str, Publication],
    known: Mapping[str, LinkRow],
) -> None:
    now = tx.now()
    _write(tx, [_row(tx, target, entry, known[entry.link_id], now) for entry in taken], set(previous))
    for chunk in chunked(entry.link_id for entry in taken):
        wanted_again = links.c.link_id.in_(chunk), is_not_flagged(), links.c.retire_at.is_not(None)
        tx.execute(update(links).where(*wanted_again).values(retire_at=None))
    subjects = [
        {**known[e.link_id].subject, "model_id": e.model_of(known[e.link_id]), "target": target, "slot": e.slot,
         "reason": f"{target} shows it at {e.slot}"}
        for e in taken
    ]  # fmt: skip
    record_events(tx, "published", subjects, now, "")
    replaced: dict[str, Retirement] = {
        before.link_id: (entry.grace, f"replaced at {target}, {entry.slot}")
        for entry in taken
        if (before := previous.get(entry.slot)) is not None and _is_replaced(before, known[entry.link_id])
    }
    retire_unshown(tx, known, replaced, now)


def _is_replaced(before: Publication, link: LinkRow) -> bool:
    """Return whether a slot's former link is the publisher's to retire; another client's link is not."""
    return before.link_id != link.link_id and before.client_id in (link.client_id, None)


def _row(tx: WriteTransaction, target: str, entry: Shown, link: LinkRow, now: datetime) -> dict[str, Any]:
    return {
        "slot_key": keys.slot_key(target, entry.slot),
        "target": target,
        "slot": entry.slot,
        "link_id": entry.link_id,
        "link_seq": link.seq,
        "model_id": entry.model_of(link),
        "audience": link.audience,
        "published_at": now,
        "run": tx.run_context.run,
        "details": entry.details,
        "client_id": link.client_id,
        "publisher": tx.run_context.publisher,
    }


def _write(tx: WriteTransaction, rows: Sequence[dict[str, Any]], existing: set[str]) -> None:
    """Insert publications, or replace those of slots that have one."""
    fresh = [row for row in rows if row["slot"] not in existing]
    if fresh:
        tx.execute(insert(publications), fresh)
    again = [{f"b_{name}": value for name, value in row.items()} for row in rows if row["slot"] in existing]
    if again:
        values: dict[str, Any] = {
            column.name: bindparam(f"b_{column.name}") for column in publications.c if column.name != "slot_key"
        }
        which = publications.c.slot_key == bindparam("b_slot_key")
        tx.execute(update(publications).where(which).values(**values), again)


def withdraw(tx: WriteTransaction, gone: Sequence[Publication], reason: str, grace: timedelta = DEFAULT_GRACE) -> None:
    """Record that slots show nothing any more, and retire what no slot shows.

    A slot that shows another link by now is left alone.
    """
    now = tx.now()
    known = lock(tx, [publication.link_id for publication in gone])
    for publication in gone:
        tx.execute(
            delete(publications).where(
                publications.c.slot_key == publication.slot_key, publications.c.link_id == publication.link_id
            )
        )
        subject = {"link_id": publication.link_id, "model_id": publication.model_id, "audience": publication.audience,
                   "client_id": publication.client_id, "target": publication.target,
                   "slot": publication.slot}  # fmt: skip
        message = f"{publication.target} no longer shows it at {publication.slot}: {reason}"
        record_events(tx, "withdrawn", [subject], now, message)
    retire_unshown(tx, known, {p.link_id: (grace, reason) for p in gone}, now)
