"""What is overdue in a ledger, and which keys its sealed links need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, func, select

from pme_airflow.ledger.conditions import is_flagged, is_not_flagged
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction
from pme_airflow.sealing import PREFIX

__all__ = ["Overdue", "SealedWith", "overdue", "sealed_with"]

#: How long after its time each kind of work is overdue: the sweep runs every 3 minutes, and attempts are up to 30
#: minutes apart while the API denies them.
_LEAK_LATE = timedelta(minutes=5)
_RETIREMENT_LATE = timedelta(minutes=45)
_END_LATE = timedelta(minutes=45)
_MINT_LATE = timedelta(minutes=45)

_VERSION = f"{PREFIX}v1:"
_ONE_KEY, _TWO_KEYS = len(_VERSION) + 8, len(_VERSION) + 17


@dataclass(frozen=True)
class Overdue:
    """Work that was to be done before.

    :param kind: ``leaks``, ``retirements``, ``ends`` or ``mints``.
    :param since: when the oldest of it was to be done.
    """

    kind: str
    count: int
    since: datetime


def overdue(tx: ReadTransaction, client_id: str) -> list[Overdue]:
    """Return what is overdue of a client's links: revocations of leaks and of replaced links, ends, and mints."""
    now = tx.now()
    live, minting = links.c.state == State.LIVE, links.c.state == State.MINTING
    at_end = links.c.state.in_([State.LIVE, State.UNACCOUNTED])
    kinds = (
        ("leaks", links.c.flagged_at, (live, is_flagged()), _LEAK_LATE),
        ("retirements", links.c.retire_at, (live, is_not_flagged()), _RETIREMENT_LATE),
        ("ends", links.c.valid_until, (at_end,), _END_LATE),
        ("mints", links.c.requested_at, (minting,), _MINT_LATE),
    )
    found = []
    for kind, column, where, allowed in kinds:
        late: Sequence[ColumnElement[bool]] = (*where, links.c.client_id == client_id, column < now - allowed)
        count, since = tx.execute(select(func.count(), func.min(column)).where(*late)).one()
        if count:
            found.append(Overdue(kind, int(count), since))
    return found


@dataclass(frozen=True)
class SealedWith:
    """How many live links are sealed with the same keys.

    :param sealed: the beginning of their sealed texts, as :func:`~pme_airflow.sealing.key_ids_of` reads it.
    """

    sealed: str
    links: int


def sealed_with(tx: ReadTransaction, client_id: str) -> list[SealedWith]:
    """Count a client's live links by the keys they are sealed with."""
    has_two = func.substr(links.c.sealed, _ONE_KEY + 1, 1) == "+"
    begins = case((has_two, func.substr(links.c.sealed, 1, _TWO_KEYS)), else_=func.substr(links.c.sealed, 1, _ONE_KEY))
    kept = select(begins.label("begins")).where(
        links.c.state == State.LIVE, links.c.client_id == client_id, links.c.sealed.is_not(None)
    )
    counted = kept.subquery()
    rows = tx.execute(select(counted.c.begins, func.count()).group_by(counted.c.begins))
    return [SealedWith(f"{row[0]}:", int(row[1])) for row in rows]
