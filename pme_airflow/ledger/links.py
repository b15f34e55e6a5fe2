"""Reads rows of links, and is the only module that writes their state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Executable, Row, Select, and_, select

from pme_airflow.iso_times import iso_text
from pme_airflow.ledger import keys
from pme_airflow.ledger.bulk import insert_rows, one_of, update_rows
from pme_airflow.ledger.conditions import is_not_flagged, is_not_retiring
from pme_airflow.ledger.events import record_link_events
from pme_airflow.ledger.link_models import SHARED, models_of, named_models, opening
from pme_airflow.ledger.states import Event, State, next_state
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "LinkRow",
    "add",
    "advance_all",
    "by_id",
    "by_ids",
    "chunked",
    "fetch",
    "given_share",
    "item_of",
    "load",
    "load_unsealed",
    "lock",
    "lock_unsealed",
    "newest_live",
    "newest_live_of",
    "query",
    "unsealed",
    "with_models",
]  # fmt: skip

_CHUNK = 500
_Key = TypeVar("_Key")


#: An API that gives less than this part of the requested validity clamps it; seconds are always lost on the way.
_CLAMPED_BELOW = 0.95


def given_share(requested: timedelta, given: timedelta) -> float:
    """Return which part of a requested validity the API gave; 1 unless it gave clearly less."""
    share = given / requested
    return 1.0 if share >= _CLAMPED_BELOW else max(0.0, share)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link as the ledger stores it; never a token in clear.

    :param model_id: the model that it opens; :data:`~.link_models.SHARED` for a token of several models.
    :param models: the models of a token that opens several.
    """

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
    task_key: str | None
    viewer: str | None = None
    models: tuple[str, ...] = ()

    @property
    def opens(self) -> tuple[str, ...]:
        """The models that it opens."""
        return self.models or (self.model_id,)

    @property
    def named_models(self) -> str:
        """The models that it opens, for a message."""
        return named_models(self.opens)

    @property
    def given_share(self) -> float:
        """Which part of the requested validity the API gave; 1 unless it gave clearly less."""
        if self.minted_at is None:
            return 1.0
        return given_share(timedelta(seconds=self.valid_for), self.valid_until - self.minted_at)

    @property
    def usable(self) -> bool:
        """Whether it is live and sealed, and neither flagged nor retiring."""
        wanted = self.flagged_at is None and self.retire_at is None
        return self.state is State.LIVE and wanted and self.sealed is not None

    @property
    def claim_key(self) -> str:
        """The key of the claim under which the link was minted; of several models', that of the first one."""
        return keys.mint_claim(self.client_id, self.audience, self.opens[0], self.viewer)

    @property
    def subject(self) -> dict[str, Any]:
        """The link as the subject of an event; see :func:`~.events.record_events`."""
        return {"link_id": self.link_id, "model_id": self.model_id, "audience": self.audience,
                "fingerprint": self.fingerprint, "client_id": self.client_id}  # fmt: skip


_COLUMNS = [links.c[f.name] for f in fields(LinkRow) if f.name != "models"]
_STATES = {state.value: state for state in State}
_STATE = [f.name for f in fields(LinkRow)].index("state")


def item_of(row: LinkRow, model_id: str | None = None) -> dict[str, Any]:
    """Return the XCom item of a live link and one of its models: JSON only, never a token in clear.

    :param model_id: which of its models; the first one if omitted.
    """
    return {
        "link_id": row.link_id,
        "model_id": model_id or row.opens[0],
        "audience": row.audience,
        "fingerprint": row.fingerprint,
        "valid_until": iso_text(row.valid_until),
        "application": row.application,
        "link": row.sealed,
    }


def query() -> Select[Any]:
    """Return a query for whole rows."""
    return select(*_COLUMNS)


def load(row: Row[Any]) -> LinkRow:
    """Read a row of :func:`query`; :func:`fetch` reads the models of tokens that open several too."""
    values = list(row)
    values[_STATE] = _STATES[values[_STATE]]
    return LinkRow(*values)


def fetch(
    tx: ReadTransaction, statement: Executable, read: Callable[[Row[Any]], LinkRow] | None = None
) -> list[LinkRow]:
    """Execute a query for whole rows; what it returns names all models of tokens that open several.

    :param read: reads a row; :func:`load` if omitted.
    """
    return with_models(tx, [(read or load)(row) for row in tx.execute(statement)])


def with_models(tx: ReadTransaction, rows: Sequence[LinkRow]) -> list[LinkRow]:
    """Return links with all models of tokens that open several."""
    shared = [row.link_id for row in rows if row.model_id == SHARED]
    if not shared:
        return list(rows)
    models = models_of(tx, shared)
    return [replace(row, models=models.get(row.link_id, ())) if row.model_id == SHARED else row for row in rows]


def by_id(tx: ReadTransaction, link_id: str) -> LinkRow | None:
    """Return a link by its id; ``None`` if there is none."""
    return by_ids(tx, [link_id]).get(link_id)


def chunked(keys: Iterable[_Key]) -> Iterator[list[_Key]]:
    """Split keys into lists of at most 500, so that a statement stays within every database's number of parameters."""
    left = iter(keys)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def by_ids(tx: ReadTransaction, link_ids: Iterable[str]) -> dict[str, LinkRow]:
    """Return links by id."""
    return {
        row.link_id: row
        for chunk in chunked(sorted(set(link_ids)))
        for row in fetch(tx, query().where(one_of(tx, links.c.link_id, chunk)))
    }


def newest_live(tx: ReadTransaction, client_id: str, audience: str, model_id: str) -> LinkRow | None:
    """Return a model's newest live link that is neither flagged nor retiring."""
    return newest_live_of(tx, client_id, audience, [model_id]).get(model_id)


def newest_live_of(tx: ReadTransaction, client_id: str, audience: str, model_ids: Sequence[str]) -> dict[str, LinkRow]:
    """Return each model's newest live link that is neither flagged nor retiring."""
    ours = and_(links.c.client_id == client_id, links.c.audience == audience, opening(model_ids, tx))
    live = and_(links.c.state == State.LIVE, is_not_flagged(), is_not_retiring())
    held = query().where(ours, live, links.c.sealed.is_not(None))  # in any order: SQLite would read all live by seq
    rows = sorted(fetch(tx, held), key=lambda row: row.seq)
    wanted = set(model_ids)
    return {model_id: row for row in rows for model_id in row.opens if model_id in wanted}


def lock(tx: WriteTransaction, link_ids: Iterable[str]) -> dict[str, LinkRow]:
    """Lock links until the transaction ends, and return them by id. Oldest first, so that no two writers deadlock."""
    wanted = sorted(set(link_ids))
    if len(wanted) <= _CHUNK:
        return _locked(tx, one_of(tx, links.c.link_id, wanted)) if wanted else {}
    order: list[int] = []
    for chunk in chunked(wanted):
        order += tx.scalars(select(links.c.seq).where(one_of(tx, links.c.link_id, chunk)))
    held: dict[str, LinkRow] = {}
    for oldest in chunked(sorted(order)):
        held |= _locked(tx, one_of(tx, links.c.seq, oldest))
    return held


def lock_unsealed(tx: WriteTransaction, link_ids: Iterable[str]) -> dict[str, LinkRow]:
    """Lock links as :func:`lock` does, and return them without their sealed texts: a hundred thousand fit in memory."""
    held: dict[str, LinkRow] = {}
    seqs: list[int] = []
    for chunk in chunked(sorted(set(link_ids))):
        seqs += tx.scalars(select(links.c.seq).where(one_of(tx, links.c.link_id, chunk)))
    for oldest in chunked(sorted(seqs)):
        held |= {link_id: unsealed(row) for link_id, row in _locked(tx, one_of(tx, links.c.seq, oldest)).items()}
    return held


def unsealed(row: LinkRow) -> LinkRow:
    """Return a link without its sealed text."""
    return replace(row, sealed=None)


def load_unsealed(row: Row[Any]) -> LinkRow:
    """Read a row of :func:`query` as :func:`load` does, without its sealed text."""
    return unsealed(load(row))


def _locked(tx: WriteTransaction, which: ColumnElement[bool]) -> dict[str, LinkRow]:
    found = fetch(tx, query().where(which).order_by(links.c.seq).with_for_update())
    return {row.link_id: row for row in found}


def add(
    tx: WriteTransaction, columns: Mapping[str, Sequence[Any]], same: Mapping[str, Any], at: datetime, reason: str
) -> None:
    """Insert links that are about to be requested.

    :param columns: the values of each column, ``link_id`` among them; not empty.
    :param same: the columns whose value is the same for all of them.
    """
    state = next_state(None, Event.REQUESTED)
    shared = {
        **same,
        "state": state.value,
        "run": tx.run_context.run,
        "run_uid": tx.run_context.uid,
        "task_key": tx.run_context.task_key,
        "revoke_attempts": 0,
        "irrevocable": False,
    }
    insert_rows(tx, links, columns, shared)
    record_link_events(tx, Event.REQUESTED.value, one_of(tx, links.c.link_id, columns["link_id"]), at, reason)


def advance_all(
    tx: WriteTransaction,
    changes: Sequence[tuple[LinkRow, dict[str, Any]]],
    event: Event,
    at: datetime,
    reason: str,
) -> None:
    """Apply the same event to several links that :func:`lock` returned.

    Every change names the same columns.

    :raises ~.states.LedgerStateError: where it may not happen in a link's state.
    """
    if not changes:
        return
    columns: dict[str, list[Any]] = {name: [values[name] for _, values in changes] for name in changes[0][1]}
    columns["seq"] = [row.seq for row, _ in changes]
    columns["state"] = [next_state(row.state, event).value for row, _ in changes]
    update_rows(tx, links, "seq", columns)
    record_link_events(tx, event.value, one_of(tx, links.c.seq, columns["seq"]), at, reason)
