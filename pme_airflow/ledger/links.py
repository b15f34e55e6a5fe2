"""Rows of links: reading them, and the only place that writes their state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, insert, select, update

from pme_airflow.ledger.states import Event, State, next_state
from pme_airflow.ledger.tables import events, links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["LinkRow", "add", "advance", "advance_all", "by_id", "by_ids", "item_of", "load", "lock",
           "newest_live", "newest_live_of", "note", "parts"]  # fmt: skip

_REASON = 500
_AT_ONCE = 500
_Key = TypeVar("_Key")


@dataclass(frozen=True)
class LinkRow:
    """One link as the ledger holds it; never a token in clear."""

    seq: int
    link_id: str
    client_id: str
    model_id: str
    audience: str
    state: State
    run: str
    run_uid: str
    application: str | None
    fingerprint: str | None
    sealed: str | None = field(repr=False)
    valid_for: int
    requested_at: datetime
    minted_at: datetime | None
    valid_until: datetime
    flagged_at: datetime | None
    flag_reason: str | None
    retire_at: datetime | None
    revoked_at: datetime | None
    revoke_attempts: int
    next_attempt_at: datetime | None
    irrevocable: bool
    verified: str | None

    @property
    def usable(self) -> bool:
        """Live, wanted, and still held: neither flagged nor on its way out."""
        wanted = self.flagged_at is None and self.retire_at is None
        return self.state is State.LIVE and wanted and self.sealed is not None


_COLUMNS = [links.c[f.name] for f in fields(LinkRow)]
_STATE = [f.name for f in fields(LinkRow)].index("state")


def item_of(row: LinkRow) -> dict[str, Any]:
    """The XCom item of a live link: JSON only, never a token in clear."""
    return {
        "link_id": row.link_id,
        "model_id": row.model_id,
        "audience": row.audience,
        "fingerprint": row.fingerprint,
        "valid_until": row.valid_until.isoformat().replace("+00:00", "Z"),
        "application": row.application,
        "link": row.sealed,
    }


def query() -> Select[Any]:
    """A query for whole rows."""
    return select(*_COLUMNS)


def load(row: Row[Any]) -> LinkRow:
    """Read a row of :func:`query`."""
    values = list(row)
    values[_STATE] = State(values[_STATE])
    return LinkRow(*values)


def by_id(tx: ReadTransaction, link_id: str) -> LinkRow | None:
    """One link."""
    return by_ids(tx, [link_id]).get(link_id)


def parts(keys: Iterable[_Key]) -> Iterator[list[_Key]]:
    """Keys in parts that one statement may name."""
    left = iter(keys)
    while part := list(islice(left, _AT_ONCE)):
        yield part


def by_ids(tx: ReadTransaction, link_ids: Iterable[str]) -> dict[str, LinkRow]:
    """Links by id."""
    return {
        row.link_id: load(row)
        for part in parts(sorted(set(link_ids)))
        for row in tx.execute(query().where(links.c.link_id.in_(part)))
    }


def newest_live(tx: ReadTransaction, client_id: str, audience: str, model_id: str) -> LinkRow | None:
    """The newest live link of a model that is neither flagged nor on its way out."""
    return newest_live_of(tx, client_id, audience, [model_id]).get(model_id)


def newest_live_of(tx: ReadTransaction, client_id: str, audience: str, model_ids: Sequence[str]) -> dict[str, LinkRow]:
    """The newest live link of each model that is neither flagged nor on its way out."""
    ours = and_(links.c.client_id == client_id, links.c.audience == audience, links.c.model_id.in_(list(model_ids)))
    live = and_(links.c.state == State.LIVE, links.c.flagged_at.is_(None), links.c.retire_at.is_(None))
    held = query().where(ours, live, links.c.sealed.is_not(None)).order_by(links.c.seq)
    return {row.model_id: load(row) for row in tx.execute(held)}


def lock(tx: WriteTransaction, link_ids: Iterable[str]) -> dict[str, LinkRow]:
    """Links by id, kept from other writers until the transaction ends; locked oldest first, so that none deadlock."""
    wanted = sorted(set(link_ids))
    if len(wanted) <= _AT_ONCE:
        return _locked(tx, links.c.link_id.in_(wanted)) if wanted else {}
    order: list[int] = []
    for part in parts(wanted):
        order += tx.scalars(select(links.c.seq).where(links.c.link_id.in_(part)))
    held: dict[str, LinkRow] = {}
    for some in parts(sorted(order)):
        held |= _locked(tx, links.c.seq.in_(some))
    return held


def _locked(tx: WriteTransaction, which: ColumnElement[bool]) -> dict[str, LinkRow]:
    found = tx.execute(query().where(which).order_by(links.c.seq).with_for_update()).all()
    return {row.link_id: load(row) for row in found}


def add(tx: WriteTransaction, rows: Sequence[dict[str, Any]], at: datetime, reason: str) -> None:
    """Record links about to be asked for."""
    state = next_state(None, Event.REQUESTED)
    whole = [
        {
            **row,
            "state": state,
            "run": tx.run_context.run,
            "run_uid": tx.run_context.uid,
            "revoke_attempts": 0,
            "irrevocable": False,
        }
        for row in rows
    ]
    tx.execute(insert(links), whole)
    note(tx, Event.REQUESTED.value, whole, at, reason)


def advance(
    tx: WriteTransaction,
    row: LinkRow,
    event: Event,
    at: datetime,
    reason: str,
    **values: Any,
) -> None:
    """Let an event happen to a link that :func:`lock` returned.

    :raises ~.states.LedgerStateError: where it may not happen in the link's state.
    """
    advance_all(tx, [(row, values)], event, at, reason)


def advance_all(
    tx: WriteTransaction,
    changes: Sequence[tuple[LinkRow, dict[str, Any]]],
    event: Event,
    at: datetime,
    reason: str,
) -> None:
    """Let the same event happen to several links that :func:`lock` returned.

    Every change names the same columns.
    """
    if not changes:
        return
    names = list(changes[0][1])
    statement = (
        update(links)
        .where(links.c.seq == bindparam("b_seq"))
        .values(state=bindparam("b_state"), **{name: bindparam(f"b_{name}") for name in names})
    )
    parameters = [
        {"b_seq": row.seq, "b_state": next_state(row.state, event), **{f"b_{k}": v for k, v in values.items()}}
        for row, values in changes
    ]
    tx.execute(statement, parameters)
    noted = [
        {"link_id": r.link_id, "model_id": r.model_id, "audience": r.audience,
         "fingerprint": values.get("fingerprint", r.fingerprint)}
        for r, values in changes
    ]  # fmt: skip
    note(tx, event.value, noted, at, reason)


def note(tx: WriteTransaction, event: str, about: Sequence[dict[str, Any]], at: datetime, reason: str) -> None:
    """Write lines of the audit."""
    if not about:
        return
    tx.execute(
        insert(events),
        [
            {
                "at": at,
                "event": event,
                "link_id": row.get("link_id"),
                "model_id": row.get("model_id"),
                "audience": row.get("audience"),
                "fingerprint": row.get("fingerprint"),
                "run": tx.run_context.run,
                "reason": str(row.get("reason") or reason)[:_REASON],
            }
            for row in about
        ],
    )
