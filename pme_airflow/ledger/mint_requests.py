"""Prepares mints: finds the links that can be reused, and commits a row for each mint before it is sent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pme_airflow.durations import Validity
from pme_airflow.ledger import claims, keys
from pme_airflow.ledger.link_models import SHARED, add_models, opening
from pme_airflow.ledger.links import LinkRow, add, advance_all, fetch, lock, query
from pme_airflow.ledger.mint_runs import MintRun
from pme_airflow.ledger.states import Event, State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["Busy", "Demand", "PendingMint", "Prepared", "Reuse", "look", "prepare", "record"]

#: How much longer than asked a token may live, as far as the ledger is concerned, while its answer is outstanding.
_SLACK = timedelta(minutes=15)

CanOpen = Callable[[str], bool]


@dataclass(frozen=True)
class Demand:
    """Which links a mint is to provide.

    :param client_id: whose links.
    :param audience: for whom.
    :param validity: how long a new link is requested to live.
    :param renew_before: a link with at least this left is reused; ``None`` renews all.
    :param viewer: the fingerprint of the viewer whose own link it is; ``None`` for a link of the whole audience.
    """

    client_id: str
    audience: str
    validity: Validity
    renew_before: timedelta | None = None
    viewer: str | None = None

    def claim_key(self, model_id: str) -> str:
        """Return the key of the claim on minting for a model."""
        return keys.mint_claim(self.client_id, self.audience, model_id, self.viewer)


@dataclass(frozen=True)
class Reuse:
    """The model has a link that can be reused."""

    model_id: str
    row: LinkRow


@dataclass(frozen=True)
class PendingMint:
    """A row was committed: the mint can be sent now.

    :param model_id: the model; :data:`~.link_models.SHARED` for a token of several models.
    :param models: the models of a token that is to open several.
    """

    model_id: str
    link_id: str
    models: tuple[str, ...] = ()

    @property
    def opens(self) -> tuple[str, ...]:
        """The models that the token is to open."""
        return self.models or (self.model_id,)


@dataclass(frozen=True)
class Busy:
    """Another run is minting for the model: check again soon."""

    model_id: str


Prepared = Reuse | PendingMint | Busy


def look(
    tx: ReadTransaction, demand: Demand, model_ids: Sequence[str], server_now: datetime, can_open: CanOpen
) -> dict[str, LinkRow]:
    """Return the links that have at least ``renew_before`` left, by model. Only reads.

    :param server_now: the server's time.
    :param can_open: whether one of the connection's keys opens a sealed text.
    """
    found: dict[str, LinkRow] = {}
    for model_id, rows in _links_of(tx, demand, model_ids).items():
        fit = next((r for r in rows if _is_openable(r, can_open) and _has_left(r, demand, server_now)), None)
        if fit is not None:
            found[model_id] = fit
    return found


def prepare(
    tx: WriteTransaction,
    mint_run: MintRun,
    demand: Demand,
    model_ids: Sequence[str],
    server_now: datetime,
    can_open: CanOpen,
    tokens: Sequence[Sequence[str]] | None = None,
) -> list[Prepared]:
    """Find a reusable link for each model, or claim the model and record the mint that is about to be sent.

    :param server_now: the server's time.
    :param can_open: whether one of the connection's keys opens a sealed text.
    :param tokens: which of the models are to share a token; each gets one of its own if omitted.
    """
    keys_of = {model_id: demand.claim_key(model_id) for model_id in model_ids}
    ours = claims.take(tx, keys_of.values()) if keys_of else set()
    # after the claims, so that a link is seen whose claim was released just before
    found = _links_of(tx, demand, list(keys_of))
    fit = {
        model_id: row
        for model_id, rows in found.items()
        if (row := next((r for r in rows if _will_do(r, mint_run, demand, server_now, can_open)), None)) is not None
    }
    claims.release(tx, [keys_of[model_id] for model_id in fit if keys_of[model_id] in ours])
    missing = [model_id for model_id, key in keys_of.items() if key in ours and model_id not in fit]
    _abandon(tx, [row for model_id in missing for row in found.get(model_id, ())], server_now)
    pending = _pending(missing, tokens)
    if pending:
        record(tx, demand, pending, server_now, f"a link of {demand.validity} is requested")
    busy = [Busy(model_id) for model_id, key in keys_of.items() if key not in ours and model_id not in fit]
    return [*(Reuse(model_id, row) for model_id, row in fit.items()), *busy, *pending]


def _pending(missing: Sequence[str], tokens: Sequence[Sequence[str]] | None) -> list[PendingMint]:
    """Return the mints for models without a link."""
    if tokens is None:
        return [PendingMint(*entry) for entry in zip(missing, _link_ids(len(missing)), strict=True)]
    left = set(missing)
    parts = [part for token in tokens if (part := tuple(model_id for model_id in token if model_id in left))]
    return [
        PendingMint(SHARED, link_id, part) if len(part) > 1 else PendingMint(part[0], link_id)
        for part, link_id in zip(parts, _link_ids(len(parts)), strict=True)
    ]


def record(
    tx: WriteTransaction, demand: Demand, pending: Sequence[PendingMint], server_now: datetime, reason: str
) -> None:
    """Record mints that are about to be sent. Each row ends when its token can no longer be alive."""
    same = {
        "client_id": demand.client_id,
        "audience": demand.audience,
        "valid_for": demand.validity.seconds,
        "requested_at": server_now,
        "valid_until": server_now + demand.validity.duration + _SLACK,
        "viewer": demand.viewer,
    }
    shared = [entry for entry in pending if entry.models]
    for entries, why in [
        ([entry for entry in pending if not entry.models], reason),
        *(([entry], f"{reason} for {', '.join(entry.models)}") for entry in shared),
    ]:
        if entries:
            columns = {"link_id": [e.link_id for e in entries], "model_id": [e.model_id for e in entries]}
            add(tx, columns, same, server_now, why)
    add_models(tx, {entry.link_id: entry.models for entry in shared})


def _links_of(tx: ReadTransaction, demand: Demand, model_ids: Sequence[str]) -> dict[str, list[LinkRow]]:
    """Return the links of each model that are live or being minted, newest first."""
    statement = (
        query()
        .where(
            links.c.audience == demand.audience,
            opening(model_ids, tx),
            links.c.state.in_([State.LIVE, State.MINTING]),
            links.c.client_id == demand.client_id,
            *([links.c.viewer == demand.viewer] if demand.viewer else []),
        )
        .order_by(links.c.seq.desc())
    )
    wanted = set(model_ids)
    found: dict[str, list[LinkRow]] = {}
    for row in fetch(tx, statement):
        for model_id in row.opens:
            if model_id in wanted:
                found.setdefault(model_id, []).append(row)
    return found


def _will_do(row: LinkRow, mint_run: MintRun, demand: Demand, server_now: datetime, can_open: CanOpen) -> bool:
    if not _is_openable(row, can_open):
        return False
    if demand.renew_before is not None:
        return _has_left(row, demand, server_now)
    if row.valid_until - server_now <= demand.validity.duration * row.given_share / 4:
        return False
    overlapping = row.seq > mint_run.started_after_seq or row.run_uid in mint_run.concurrent_runs
    return mint_run.run_context.is_same_task(row.task_key) or overlapping


def _is_openable(row: LinkRow, can_open: CanOpen) -> bool:
    return row.usable and row.sealed is not None and can_open(row.sealed)


def _has_left(row: LinkRow, demand: Demand, server_now: datetime) -> bool:
    """Return whether a link has ``renew_before`` left, or that share of it where the API gave less than requested."""
    if demand.renew_before is None:
        return False
    return row.valid_until - server_now >= demand.renew_before * row.given_share


def _abandon(tx: WriteTransaction, rows: Sequence[LinkRow], server_now: datetime) -> None:
    """Record mints as unaccounted whose claim this run took over: their worker records no response in time."""
    locked = lock(tx, [row.link_id for row in rows if row.state is State.MINTING])
    advance_all(
        tx,
        [(row, {}) for row in locked.values() if row.state is State.MINTING],
        Event.ABANDONED,
        server_now,
        "its worker went away before the answer came",
    )


def _link_ids(count: int) -> list[str]:
    """Return new link ids; the system's random numbers are read once for all of them."""
    random = os.urandom(16 * count)
    return [f"lnk_{uuid.UUID(bytes=random[16 * n : 16 * n + 16], version=4).hex}" for n in range(count)]
