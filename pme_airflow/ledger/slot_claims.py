"""Claims on slots: what a run is to do about each slot, and the lock on a target's index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from enum import Enum

from sqlalchemy import update

from pme_airflow.ledger import claims, keys
from pme_airflow.ledger.links import LinkRow, by_ids, lock
from pme_airflow.ledger.publications import Publication, publications_in, shows_later
from pme_airflow.ledger.retirements import DEFAULT_GRACE, Retirement, retire_unshown
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "SlotAction",
    "SlotPlan",
    "acquire_index_lock",
    "claim_shown",
    "is_shown",
    "open_slots",
    "release_index_lock",
    "release_slots",
    "set_uncertain",
]

_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


class SlotAction(Enum):
    """What a run is to do about a slot."""

    #: Put the plan's link: the slot is claimed for it.
    PUT = "put"
    #: Nothing: the slot shows this link.
    KEEP = "keep"
    #: Nothing: the slot shows a later link.
    NEWER = "newer"
    #: Nothing: this link is no longer live, or is flagged.
    DEAD = "dead"
    #: Look again soon: another run has claimed the slot.
    BUSY = "busy"


@dataclass(frozen=True)
class SlotPlan:
    """What is to be done about a slot.

    :param link: the link that is to be shown; for an uncertain slot this may be a later one than was wanted.
    :param previous: what the slot shows so far.
    :param model_id: the model that it is to be shown for; ``None`` for the one that was wanted.
    """

    action: SlotAction
    link: LinkRow | None = None
    previous: Publication | None = None
    model_id: str | None = None


def set_uncertain(tx: WriteTransaction, target: str, slots: Sequence[str]) -> None:
    """Record that a late writer's links may stand in slots, so that what they are to show is put again."""
    slot_keys = sorted(keys.slot_key(target, slot) for slot in slots)
    tx.execute(update(publications).where(publications.c.slot_key.in_(slot_keys)).values(link_seq=0))


def open_slots(
    tx: WriteTransaction,
    target: str,
    wanted: Mapping[str, str],
    grace: timedelta = DEFAULT_GRACE,
    models: Mapping[str, str] | None = None,
    passed: datetime = _LONG_AGO,
) -> dict[str, SlotPlan]:
    """Claim slots for links, or find why there is nothing to do.

    A link that is too late for its slot is retired where no slot shows it. An uncertain slot is to be put again, with
    the later one of its links: the plan may name another link than the one wanted.

    :param wanted: the link wanted in each slot, by its id.
    :param models: the model that each slot is to show it for; needed for links that open several.
    :param passed: a time that has certainly passed: a link that ended before it is dead, closed by a sweep or not.
    """
    shown_for = models or {}
    plans = _plans(tx, target, wanted, shown_for, passed)
    claimed = {slot: keys.slot_claim(target, slot) for slot, plan in plans.items() if plan.action is SlotAction.PUT}
    ours = claims.take(tx, claimed.values()) if claimed else set()
    if ours and tx.dialect == "postgresql":  # elsewhere writers take turns, so that nothing was published since
        plans |= _plans_again(
            tx, target, {s: wanted[s] for s, key in claimed.items() if key in ours}, shown_for, passed
        )
    late: dict[str, Retirement] = {
        link_id: (grace, f"too late for {target}, {slot}")
        for slot, link_id in wanted.items()
        if _is_late(plans[slot], link_id)
    }
    if late:
        retire_unshown(tx, lock(tx, late), late, tx.now())
    busy = {slot: replace(plans[slot], action=SlotAction.BUSY) for slot, key in claimed.items() if key not in ours}
    return plans | busy


def _plans(
    tx: ReadTransaction, target: str, wanted: Mapping[str, str], shown_for: Mapping[str, str], passed: datetime
) -> dict[str, SlotPlan]:
    previous = publications_in(tx, target, wanted)
    known = by_ids(tx, [*wanted.values(), *(p.link_id for p in previous.values() if p.link_seq == 0)])
    return {
        slot: _plan(known.get(link_id), previous.get(slot), known, shown_for.get(slot), passed)
        for slot, link_id in wanted.items()
    }


def _plans_again(
    tx: WriteTransaction, target: str, wanted: Mapping[str, str], shown_for: Mapping[str, str], passed: datetime
) -> dict[str, SlotPlan]:
    """Plan slots again once they are claimed: another run may have published in them, and released them, until then."""
    plans = _plans(tx, target, wanted, shown_for, passed)
    release_slots(tx, target, [slot for slot, plan in plans.items() if plan.action is not SlotAction.PUT])
    return plans


def _plan(
    link: LinkRow | None,
    previous: Publication | None,
    known: Mapping[str, LinkRow],
    model_id: str | None,
    passed: datetime,
) -> SlotPlan:
    if link is not None and previous is not None and shows_later(previous, link, known):
        if previous.link_seq > 0:
            return SlotPlan(SlotAction.NEWER, link, previous)
        link, model_id = known[previous.link_id], previous.model_id
    if link is None or link.state is not State.LIVE or link.flagged_at is not None or link.valid_until <= passed:
        return SlotPlan(SlotAction.DEAD, link, previous)
    same = previous is not None and previous.link_id == link.link_id and model_id in (None, previous.model_id)
    if same and previous is not None and previous.link_seq > 0:
        return SlotPlan(SlotAction.KEEP, link, previous)
    return SlotPlan(SlotAction.PUT, link, previous, model_id)


def _is_late(plan: SlotPlan, link_id: str) -> bool:
    return plan.link is not None and (plan.action is SlotAction.NEWER or plan.link.link_id != link_id)


def release_slots(tx: WriteTransaction, target: str, slots: Sequence[str]) -> None:
    """Release claimed slots without a publication."""
    claims.release(tx, [keys.slot_claim(target, slot) for slot in slots])


def acquire_index_lock(tx: WriteTransaction, target: str) -> bool:
    """Keep other runs from writing a target's index; return false while another run holds the lock."""
    return bool(claims.take(tx, [keys.index_lock(target)]))


def release_index_lock(tx: WriteTransaction, target: str) -> None:
    """Let other runs write a target's index again; does nothing where another run holds the lock."""
    claims.release(tx, [keys.index_lock(target)])


def claim_shown(tx: WriteTransaction, shown: Publication) -> bool:
    """Claim a slot that is to be cleared; return false if another run is writing it, or it shows another link now."""
    key = keys.slot_claim(shown.target, shown.slot)
    if not claims.take(tx, [key]):
        return False
    if not is_shown(tx, shown):
        claims.release(tx, [key])
        return False
    return True


def is_shown(tx: ReadTransaction, shown: Publication) -> bool:
    """Return whether a slot still shows what it was published with."""
    now_shown = publications_in(tx, shown.target, [shown.slot]).get(shown.slot)
    return now_shown is not None and (now_shown.link_id, now_shown.published_at) == (shown.link_id, shown.published_at)
