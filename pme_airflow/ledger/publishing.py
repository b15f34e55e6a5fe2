"""Publications: which slot shows which link, and the retirement of what no slot shows any more."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from pme_airflow.ledger import claims
from pme_airflow.ledger.actor import Actor
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow, by_id, lock, note
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links, publications

__all__ = [
    "DEFAULT_GRACE",
    "Publication",
    "Refused",
    "SlotPlan",
    "begin_finish",
    "end_finish",
    "give_up",
    "models_at",
    "open_slot",
    "publish",
    "shown_at",
    "shown_in",
    "shown_to",
    "still_live",
    "withdraw",
]

#: How long a link that was replaced everywhere is left alive for those who are looking at it.
DEFAULT_GRACE = timedelta(minutes=15)


@dataclass(frozen=True)
class Publication:
    """What a slot shows.

    :param link_seq: the link's place in the order they were asked for; 0 while a late writer's link may stand there.
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


@dataclass(frozen=True)
class SlotPlan:
    """What is to be done about a slot.

    :param action: ``put``; or ``keep`` (it shows this link), ``newer`` (it shows a later one), ``dead`` (this link is
        no longer live), ``busy`` (somebody else is at it).
    """

    action: str
    link: LinkRow | None = None
    previous: Publication | None = None


class Refused(Exception):
    """A publication that came too late: the slot's claim passed on, or it shows a later link."""


def slot_key(target: str, slot: str) -> str:
    """Names a slot in a fixed length."""
    return hashlib.sha256(f"{target}\n{slot}".encode()).hexdigest()


def shown_at(
    connection: Connection, target: str, audience: str | None = None, model_id: str | None = None
) -> list[Publication]:
    """All that a target shows; or what it shows to an audience, or of a model."""
    query = select(publications).where(publications.c.target == target)
    if audience is not None:
        query = query.where(publications.c.audience == audience)
    if model_id is not None:
        query = query.where(publications.c.model_id == model_id)
    return [Publication(**row._mapping) for row in connection.execute(query.order_by(publications.c.slot))]


def shown_in(connection: Connection, target: str, slots: Sequence[str]) -> dict[str, str]:
    """The link that each of some slots of a target surely shows."""
    keys = [slot_key(target, slot) for slot in slots]
    query = select(publications.c.slot, publications.c.link_id).where(
        publications.c.slot_key.in_(keys), publications.c.link_seq > 0
    )
    return {row.slot: row.link_id for row in connection.execute(query)}


def models_at(connection: Connection, target: str, audience: str) -> dict[str, datetime]:
    """The models of an audience that a target shows, each with the latest moment it was published there."""
    query = select(publications.c.model_id, func.max(publications.c.published_at)).where(
        publications.c.target == target, publications.c.audience == audience
    )
    return {row[0]: row[1] for row in connection.execute(query.group_by(publications.c.model_id))}


def shown_to(connection: Connection, audience: str) -> list[Publication]:
    """All that an audience is shown."""
    rows = connection.execute(select(publications).where(publications.c.audience == audience))
    return [Publication(**row._mapping) for row in rows]


def still_live(connection: Connection, link_ids: Sequence[str]) -> set[str]:
    """Which links are live and not flagged."""
    live: set[str] = set()
    for start in range(0, len(link_ids), 500):
        part = links.c.link_id.in_(link_ids[start : start + 500])
        query = select(links.c.link_id).where(part, links.c.state == State.LIVE, links.c.flagged_at.is_(None))
        live.update(connection.scalars(query))
    return live


def open_slot(
    database: Database,
    connection: Connection,
    target: str,
    slot: str,
    link_id: str,
    actor: Actor,
    grace: timedelta = DEFAULT_GRACE,
    *,
    overwritten: bool = False,
) -> SlotPlan:
    """Claim a slot for a link, or say why there is nothing to do.

    A link that is too late for its slot is retired where no slot shows it. An overwritten slot is to be put again,
    with the later one of its links: ``put`` may name another link than the one asked for.

    :param overwritten: whether the caller wrote the slot when it was no longer the caller's to write.
    """
    if overwritten:
        key = slot_key(target, slot)
        connection.execute(update(publications).where(publications.c.slot_key == key).values(link_seq=0))
    link = by_id(connection, link_id)
    previous = _shown(connection, target, slot)
    if previous is not None and link is not None and _shows_later(connection, previous, link):
        now = database.shared_now(connection)
        _retire_unshown(connection, [link_id], actor, now, grace, f"too late for {target}, {slot}")
        if previous.link_seq > 0:
            return SlotPlan("newer", link, previous)
        link = by_id(connection, previous.link_id)
    if link is None or link.state is not State.LIVE or link.flagged_at is not None:
        return SlotPlan("dead", link, previous)
    if previous is not None and previous.link_id == link.link_id and previous.link_seq != 0:
        return SlotPlan("keep", link, previous)
    key = _claim_key(target, slot)
    if key not in claims.take(database, connection, [key], actor):
        return SlotPlan("busy", link, previous)
    return SlotPlan("put", link, previous)


def publish(
    database: Database,
    connection: Connection,
    target: str,
    slot: str,
    link_id: str,
    details: dict[str, Any],
    actor: Actor,
    grace: timedelta = DEFAULT_GRACE,
    *,
    claimed: bool = True,
) -> None:
    """Record that a slot now shows a link, and retire the link it showed where no other slot shows that one.

    :param details: what the target needs to edit the slot in place; never a link or a token.
    :param claimed: whether :func:`open_slot` claimed the slot before.
    :raises Refused: where the claim has passed on, the link is unknown, or the slot shows a later link.
    """
    key = _claim_key(target, slot)
    if claimed and key not in claims.held(database, connection, [key], actor):
        raise Refused("the slot was claimed by another run meanwhile")
    previous = _shown(connection, target, slot)
    link = lock(connection, [link_id, previous.link_id] if previous else [link_id]).get(link_id)
    if link is None:
        raise Refused("the ledger knows no such link")
    if _shows_later(connection, previous, link):
        raise Refused("the slot shows a later link")
    now = database.shared_now(connection)
    row = {
        "slot_key": slot_key(target, slot),
        "target": target,
        "slot": slot,
        "link_id": link_id,
        "link_seq": link.seq,
        "model_id": link.model_id,
        "audience": link.audience,
        "published_at": now,
        "run": actor.run,
        "details": details,
    }
    if previous is None:
        connection.execute(insert(publications), row)
    else:
        connection.execute(update(publications).where(publications.c.slot_key == row["slot_key"]).values(**row))
    connection.execute(
        update(links).where(links.c.link_id == link_id, links.c.flagged_at.is_(None)).values(retire_at=None)
    )
    note(connection, "published", [_about(link)], actor, now, f"{target} shows it at {slot}")
    if previous is not None and previous.link_id != link_id:
        _retire_unshown(connection, [previous.link_id], actor, now, grace, f"replaced at {target}, {slot}")
    claims.release(connection, [key], actor)


def _shows_later(connection: Connection, previous: Publication | None, link: LinkRow) -> bool:
    """Whether a slot shows a later link than this one, or is to be put again with one that is still of use."""
    if previous is None or previous.link_id == link.link_id:
        return False
    if previous.link_seq > 0:
        return previous.link_seq > link.seq
    shown = by_id(connection, previous.link_id)
    return shown is not None and shown.usable and shown.seq > link.seq


def withdraw(
    database: Database,
    connection: Connection,
    gone: Sequence[Publication],
    actor: Actor,
    reason: str,
    grace: timedelta = DEFAULT_GRACE,
) -> None:
    """Record that slots show nothing any more, and retire what no slot shows."""
    now = database.shared_now(connection)
    for publication in gone:
        connection.execute(
            delete(publications).where(
                publications.c.slot_key == publication.slot_key, publications.c.link_id == publication.link_id
            )
        )
        about = {"link_id": publication.link_id, "model_id": publication.model_id, "audience": publication.audience}
        said = f"{publication.target} no longer shows it at {publication.slot}: {reason}"
        note(connection, "withdrawn", [about], actor, now, said)
    _retire_unshown(connection, [p.link_id for p in gone], actor, now, grace, reason)


def _retire_unshown(
    connection: Connection, link_ids: Sequence[str], actor: Actor, now: datetime, grace: timedelta, reason: str
) -> None:
    for link_id, link in lock(connection, link_ids).items():
        shown = connection.scalar(select(exists().where(publications.c.link_id == link_id)))
        if shown or link.state is not State.LIVE or link.retire_at is not None:
            continue
        connection.execute(update(links).where(links.c.link_id == link_id).values(retire_at=now + grace))
        note(connection, "retiring", [_about(link)], actor, now, reason)


def begin_finish(database: Database, connection: Connection, target: str, actor: Actor) -> bool:
    """Keep others from finishing a target meanwhile; false while somebody else is at it."""
    return bool(claims.take(database, connection, [_finish_key(target)], actor))


def end_finish(connection: Connection, target: str, actor: Actor) -> None:
    """Let others finish a target again; nothing where :func:`begin_finish` was false."""
    claims.release(connection, [_finish_key(target)], actor)


def _shown(connection: Connection, target: str, slot: str) -> Publication | None:
    key = slot_key(target, slot)
    row = connection.execute(select(publications).where(publications.c.slot_key == key)).one_or_none()
    return None if row is None else Publication(**row._mapping)


def _about(link: LinkRow) -> dict[str, Any]:
    return {"link_id": link.link_id, "model_id": link.model_id, "audience": link.audience,
            "fingerprint": link.fingerprint}  # fmt: skip


def _claim_key(target: str, slot: str) -> str:
    return f"slot:{slot_key(target, slot)}"


def _finish_key(target: str) -> str:
    return f"finish:{slot_key(target, '')}"


def give_up(connection: Connection, target: str, slot: str, actor: Actor) -> None:
    """Give a claimed slot back without a publication."""
    claims.release(connection, [_claim_key(target, slot)], actor)
