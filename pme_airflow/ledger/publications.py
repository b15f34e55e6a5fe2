"""Publications: which slot shows which link, and the retirement of what no slot shows any more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from pme_airflow.ledger import claims
from pme_airflow.ledger.links import LinkRow, by_ids, lock, note, parts
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links, publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "DEFAULT_GRACE",
    "Publication",
    "Shown",
    "SlotPlan",
    "acquire_index_lock",
    "doubt",
    "models_at",
    "open_slots",
    "publications_in",
    "publish",
    "record_details",
    "release_index_lock",
    "release_slots",
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


@dataclass(frozen=True)
class Shown:
    """A slot that was put and read back.

    :param details: what the target needs to edit the slot in place; never a link or a token.
    :param grace: how long the link that was shown before is left alive.
    """

    slot: str
    link_id: str
    details: dict[str, Any] = field(repr=False)
    grace: timedelta = DEFAULT_GRACE


def slot_key(target: str, slot: str) -> str:
    """Names a slot in a fixed length."""
    return hashlib.sha256(f"{target}\n{slot}".encode()).hexdigest()


def shown_at(
    tx: ReadTransaction, target: str, audience: str | None = None, model_id: str | None = None
) -> list[Publication]:
    """All that a target shows; or what it shows to an audience, or of a model."""
    query = select(publications).where(publications.c.target == target)
    if audience is not None:
        query = query.where(publications.c.audience == audience)
    if model_id is not None:
        query = query.where(publications.c.model_id == model_id)
    return [Publication(**row._mapping) for row in tx.execute(query.order_by(publications.c.slot))]


def shown_in(tx: ReadTransaction, target: str, slots: Sequence[str]) -> dict[str, str]:
    """The link that each of some slots of a target surely shows."""
    keys = [slot_key(target, slot) for slot in slots]
    query = select(publications.c.slot, publications.c.link_id).where(
        publications.c.slot_key.in_(keys), publications.c.link_seq > 0
    )
    return {row.slot: row.link_id for row in tx.execute(query)}


def publications_in(tx: ReadTransaction, target: str, slots: Sequence[str]) -> dict[str, Publication]:
    """Return what some slots of a target show, by slot."""
    return _shown(tx, target, slots)


def record_details(tx: WriteTransaction, details: Sequence[tuple[Publication, Mapping[str, Any]]]) -> None:
    """Replace the details of publications that are still the same; those published anew meanwhile keep theirs."""
    for publication, new in details:
        same = (
            publications.c.slot_key == publication.slot_key,
            publications.c.link_id == publication.link_id,
            publications.c.published_at == publication.published_at,
        )
        tx.execute(update(publications).where(*same).values(details=dict(new)))


def models_at(tx: ReadTransaction, target: str, audience: str) -> dict[str, datetime]:
    """The models of an audience that a target shows, each with the latest moment it was published there."""
    query = select(publications.c.model_id, func.max(publications.c.published_at)).where(
        publications.c.target == target, publications.c.audience == audience
    )
    return {row[0]: row[1] for row in tx.execute(query.group_by(publications.c.model_id))}


def shown_to(tx: ReadTransaction, audience: str) -> list[Publication]:
    """All that an audience is shown."""
    rows = tx.execute(select(publications).where(publications.c.audience == audience))
    return [Publication(**row._mapping) for row in rows]


def still_live(tx: ReadTransaction, link_ids: Sequence[str]) -> set[str]:
    """Which links are live and not flagged."""
    live: set[str] = set()
    for part in parts(link_ids):
        query = select(links.c.link_id).where(
            links.c.link_id.in_(part), links.c.state == State.LIVE, links.c.flagged_at.is_(None)
        )
        live.update(tx.scalars(query))
    return live


def doubt(tx: WriteTransaction, target: str, slots: Sequence[str]) -> None:
    """Note that a late writer's links may stand in slots, so that what they are to show is put again."""
    keys = sorted(slot_key(target, slot) for slot in slots)
    tx.execute(update(publications).where(publications.c.slot_key.in_(keys)).values(link_seq=0))


def open_slots(
    tx: WriteTransaction,
    target: str,
    wanted: Mapping[str, str],
    grace: timedelta = DEFAULT_GRACE,
) -> dict[str, SlotPlan]:
    """Claim slots for links, or say why there is nothing to do.

    A link that is too late for its slot is retired where no slot shows it. A slot in doubt is to be put again, with the
    later one of its links: ``put`` may name another link than the one asked for.

    :param wanted: the link wanted in each slot, by their ids.
    """
    previous = _shown(tx, target, list(wanted))
    known = by_ids(tx, [*wanted.values(), *(p.link_id for p in previous.values() if p.link_seq == 0)])
    plans = {slot: _plan(known.get(link_id), previous.get(slot), known) for slot, link_id in wanted.items()}
    keys = {slot: _claim_key(target, slot) for slot, plan in plans.items() if plan.action == "put"}
    ours = claims.take(tx, keys.values()) if keys else set()
    late = {
        link_id: (grace, f"too late for {target}, {slot}")
        for slot, link_id in wanted.items()
        if (link := plans[slot].link) is not None and (plans[slot].action == "newer" or link.link_id != link_id)
    }
    if late:
        _retire_unshown(tx, lock(tx, late), late, tx.now())
    busy = {slot: replace(plans[slot], action="busy") for slot, key in keys.items() if key not in ours}
    return plans | busy


def _plan(link: LinkRow | None, previous: Publication | None, known: Mapping[str, LinkRow]) -> SlotPlan:
    if link is not None and previous is not None and _shows_later(previous, link, known):
        if previous.link_seq > 0:
            return SlotPlan("newer", link, previous)
        link = known[previous.link_id]
    if link is None or link.state is not State.LIVE or link.flagged_at is not None:
        return SlotPlan("dead", link, previous)
    if previous is not None and previous.link_id == link.link_id and previous.link_seq > 0:
        return SlotPlan("keep", link, previous)
    return SlotPlan("put", link, previous)


def _shows_later(previous: Publication, link: LinkRow, known: Mapping[str, LinkRow]) -> bool:
    """Whether a slot shows a later link than this one, or is to be put again with one that is still of use."""
    if previous.link_id == link.link_id:
        return False
    if previous.link_seq > 0:
        return previous.link_seq > link.seq
    shown = known.get(previous.link_id)
    return shown is not None and shown.usable and shown.seq > link.seq


def publish(
    tx: WriteTransaction,
    target: str,
    shown: Sequence[Shown],
    *,
    claimed: bool = True,
) -> dict[str, str]:
    """Record what slots show now, and retire the links they showed where no other slot shows those.

    :param shown: no slot twice.
    :param claimed: whether :func:`open_slots` claimed the slots before.
    :return: the slots that were not recorded, each with the reason: the claim has passed on, the link is unknown, or
        the slot shows a later link.
    """
    keys = {entry.slot: _claim_key(target, entry.slot) for entry in shown}
    held = claims.held(tx, keys.values()) if claimed else set(keys.values())
    previous = _shown(tx, target, list(keys))
    known = lock(tx, [*(entry.link_id for entry in shown), *(p.link_id for p in previous.values())])
    refused: dict[str, str] = {}
    for entry in shown:
        link, before = known.get(entry.link_id), previous.get(entry.slot)
        if keys[entry.slot] not in held:
            refused[entry.slot] = "the slot was claimed by another run meanwhile"
        elif link is None:
            refused[entry.slot] = "the ledger knows no such link"
        elif before is not None and _shows_later(before, link, known):
            refused[entry.slot] = "the slot shows a later link"
    taken = [entry for entry in shown if entry.slot not in refused]
    if not taken:
        return refused
    now = tx.now()
    _write(tx, [_row(tx, target, entry, known[entry.link_id], now) for entry in taken], set(previous))
    for part in parts(entry.link_id for entry in taken):
        wanted_again = links.c.link_id.in_(part), links.c.flagged_at.is_(None), links.c.retire_at.is_not(None)
        tx.execute(update(links).where(*wanted_again).values(retire_at=None))
    said = [{**_about(known[e.link_id]), "reason": f"{target} shows it at {e.slot}"} for e in taken]
    note(tx, "published", said, now, "")
    replaced = {
        before.link_id: (entry.grace, f"replaced at {target}, {entry.slot}")
        for entry in taken
        if (before := previous.get(entry.slot)) is not None and before.link_id != entry.link_id
    }
    _retire_unshown(tx, known, replaced, now)
    claims.release(tx, [keys[entry.slot] for entry in taken])
    return refused


def _row(tx: WriteTransaction, target: str, entry: Shown, link: LinkRow, now: datetime) -> dict[str, Any]:
    return {
        "slot_key": slot_key(target, entry.slot),
        "target": target,
        "slot": entry.slot,
        "link_id": entry.link_id,
        "link_seq": link.seq,
        "model_id": link.model_id,
        "audience": link.audience,
        "published_at": now,
        "run": tx.run_context.run,
        "details": entry.details,
    }


def _write(tx: WriteTransaction, rows: Sequence[dict[str, Any]], there: set[str]) -> None:
    """Insert publications, or replace those that are there."""
    fresh = [row for row in rows if row["slot"] not in there]
    if fresh:
        tx.execute(insert(publications), fresh)
    again = [{f"b_{name}": value for name, value in row.items()} for row in rows if row["slot"] in there]
    if again:
        named: dict[str, Any] = {
            column.name: bindparam(f"b_{column.name}") for column in publications.c if column.name != "slot_key"
        }
        which = publications.c.slot_key == bindparam("b_slot_key")
        tx.execute(update(publications).where(which).values(**named), again)


def withdraw(
    tx: WriteTransaction,
    gone: Sequence[Publication],
    reason: str,
    grace: timedelta = DEFAULT_GRACE,
) -> None:
    """Record that slots show nothing any more, and retire what no slot shows."""
    now = tx.now()
    known = lock(tx, [publication.link_id for publication in gone])
    for publication in gone:
        tx.execute(
            delete(publications).where(
                publications.c.slot_key == publication.slot_key, publications.c.link_id == publication.link_id
            )
        )
        about = {"link_id": publication.link_id, "model_id": publication.model_id, "audience": publication.audience}
        said = f"{publication.target} no longer shows it at {publication.slot}: {reason}"
        note(tx, "withdrawn", [about], now, said)
    _retire_unshown(tx, known, {p.link_id: (grace, reason) for p in gone}, now)


def _retire_unshown(
    tx: WriteTransaction,
    locked: Mapping[str, LinkRow],
    why: Mapping[str, tuple[timedelta, str]],
    now: datetime,
) -> None:
    """Retire links that :func:`lock` returned and no slot shows, each after a grace and for a reason."""
    rows = [locked[link_id] for link_id in why if link_id in locked]
    wanted = [row for row in rows if row.state is State.LIVE and row.retire_at is None]
    shown: set[str] = set()
    for part in parts(row.link_id for row in wanted):
        shown.update(tx.scalars(select(publications.c.link_id).where(publications.c.link_id.in_(part))))
    going = [row for row in wanted if row.link_id not in shown]
    for grace in {why[row.link_id][0] for row in going}:
        for part in parts(row.link_id for row in going if why[row.link_id][0] == grace):
            tx.execute(update(links).where(links.c.link_id.in_(part)).values(retire_at=now + grace))
    said = [{**_about(row), "reason": why[row.link_id][1]} for row in going]
    note(tx, "retiring", said, now, "")


def acquire_index_lock(tx: WriteTransaction, target: str) -> bool:
    """Keep others from finishing a target meanwhile; false while somebody else is at it."""
    return bool(claims.take(tx, [_finish_key(target)]))


def release_index_lock(tx: WriteTransaction, target: str) -> None:
    """Let others finish a target again; nothing where :func:`acquire_index_lock` was false."""
    claims.release(tx, [_finish_key(target)])


def _shown(tx: ReadTransaction, target: str, slots: Sequence[str]) -> dict[str, Publication]:
    """What some slots show, by slot."""
    found: dict[str, Publication] = {}
    for part in parts(slot_key(target, slot) for slot in slots):
        query = select(publications).where(publications.c.slot_key.in_(part))
        found.update((row.slot, Publication(**row._mapping)) for row in tx.execute(query))
    return found


def _about(link: LinkRow) -> dict[str, Any]:
    return {"link_id": link.link_id, "model_id": link.model_id, "audience": link.audience,
            "fingerprint": link.fingerprint}  # fmt: skip


def _claim_key(target: str, slot: str) -> str:
    return f"slot:{slot_key(target, slot)}"


def _finish_key(target: str) -> str:
    return f"finish:{slot_key(target, '')}"


def release_slots(tx: WriteTransaction, target: str, slots: Sequence[str]) -> None:
    """Give claimed slots back without a publication."""
    claims.release(tx, [_claim_key(target, slot) for slot in slots])
