"""The ledger's side of a mint: what is needed, the row before each request, and what became of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update

from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, Unknown
from pme_airflow.durations import Validity
from pme_airflow.ledger import claims
from pme_airflow.ledger.links import LinkRow, add, advance, advance_all, load, lock, query
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import Event, State
from pme_airflow.ledger.tables import flags, links, runs
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "Busy",
    "Demand",
    "MintRun",
    "PendingMint",
    "Prepared",
    "Reuse",
    "Settled",
    "begin",
    "finish",
    "keep_alive",
    "look",
    "prepare",
    "settle",
]  # fmt: skip

#: How much longer than asked a token may live, as far as the ledger is concerned, while its answer is outstanding.
_SLACK = timedelta(minutes=15)


@dataclass(frozen=True)
class Demand:
    """What a mint is asked to make sure of.

    :param client_id: whose links.
    :param audience: for whom.
    :param validity: how long a new link is asked to live.
    :param renew_before: a link with at least this left is handed on; ``None`` renews all.
    """

    client_id: str
    audience: str
    validity: Validity
    renew_before: timedelta | None = None


@dataclass(frozen=True)
class MintRun:
    """One mint's work from start to end: which links and which other mint runs it overlaps with.

    :param started_after_seq: links beyond this one were asked for since the mint run began.
    :param concurrent_runs: the mint runs that were under way when it began.
    """

    run_context: RunContext
    started_after_seq: int
    concurrent_runs: frozenset[str]


@dataclass(frozen=True)
class Reuse:
    """The model has a link that will do."""

    model_id: str
    row: LinkRow


@dataclass(frozen=True)
class PendingMint:
    """A row was written: send the mint now."""

    model_id: str
    link_id: str


@dataclass(frozen=True)
class Busy:
    """Somebody else is minting for the model: look again soon."""

    model_id: str


Prepared = Reuse | PendingMint | Busy


@dataclass(frozen=True)
class Settled:
    """What a mint came to.

    :param before: its row before the answer was recorded.
    :param made: what was recorded, where a link was made.
    :param orphan: a link was made, but too late: it is recorded and retired, and the model is to be looked at again.
    """

    before: LinkRow
    made: dict[str, Any] | None = field(default=None, repr=False)
    orphan: bool = False

    @property
    def usable(self) -> bool:
        """Whether there is a link to hand on."""
        made = self.made
        return made is not None and not (self.orphan or made["flagged_at"] or made["retire_at"])

    @property
    def row(self) -> LinkRow:
        """The link as it is recorded."""
        return replace(self.before, state=State.LIVE, **(self.made or {}))


def claim_key(demand: Demand, model_id: str) -> str:
    """The claim on one model and audience."""
    return f"mint:{demand.audience}/{model_id}"


def begin(tx: WriteTransaction) -> MintRun:
    """Begin a mint run."""
    now = tx.now()
    recently = runs.c.seen_at > now - claims.CLAIM_TTL
    concurrent_runs = tx.scalars(select(runs.c.run_uid).where(recently, runs.c.finished_at.is_(None)))
    mint_run = MintRun(tx.run_context, tx.scalar(select(func.max(links.c.seq))) or 0, frozenset(concurrent_runs))
    tx.execute(insert(runs).values(run_uid=tx.run_context.uid, run=tx.run_context.run, started_at=now, seen_at=now))
    return mint_run


def keep_alive(tx: WriteTransaction, mint_run: MintRun) -> None:
    """Say that the mint run goes on, and extend its claims."""
    now = tx.now()
    tx.execute(update(runs).where(runs.c.run_uid == tx.run_context.uid).values(seen_at=now))
    claims.extend(tx)


def finish(tx: WriteTransaction, mint_run: MintRun) -> None:
    """End a mint run."""
    now = tx.now()
    tx.execute(update(runs).where(runs.c.run_uid == tx.run_context.uid).values(seen_at=now, finished_at=now))


def look(
    tx: ReadTransaction,
    demand: Demand,
    model_ids: Sequence[str],
    server_now: datetime,
    can_open: Callable[[str], bool],
) -> dict[str, LinkRow]:
    """The links that have ``renew_before`` left at a moment; only reads."""
    found: dict[str, LinkRow] = {}
    for model_id, rows in _links_of(tx, demand, model_ids).items():
        fit = next((r for r in rows if _openable(r, can_open) and _has_left(r, demand, server_now)), None)
        if fit is not None:
            found[model_id] = fit
    return found


def prepare(
    tx: WriteTransaction,
    mint_run: MintRun,
    demand: Demand,
    model_ids: Sequence[str],
    server_now: datetime,
    can_open: Callable[[str], bool],
) -> list[Prepared]:
    """Find, for each model, the link that will do; or claim the model and record the mint about to be sent.

    :param server_now: the server's time.
    :param can_open: whether a sealed text can be opened with the keys at hand.
    """

    def fits(wanted: Sequence[str]) -> tuple[dict[str, LinkRow], dict[str, list[LinkRow]]]:
        found = _links_of(tx, demand, wanted)
        will_do = {
            model_id: next((r for r in rows if _will_do(r, mint_run, demand, server_now, can_open)), None)
            for model_id, rows in found.items()
        }
        return {model_id: row for model_id, row in will_do.items() if row is not None}, found

    fit, _ = fits(model_ids)
    keys = {model_id: claim_key(demand, model_id) for model_id in model_ids if model_id not in fit}
    ours = claims.take(tx, keys.values()) if keys else set()
    claimed = [model_id for model_id, key in keys.items() if key in ours]
    minted_meanwhile, found = fits(claimed) if claimed else ({}, {})
    claims.release(tx, [keys[model_id] for model_id in minted_meanwhile])
    missing = [model_id for model_id in claimed if model_id not in minted_meanwhile]
    prepared: list[Prepared] = [Reuse(model_id, row) for model_id, row in {**fit, **minted_meanwhile}.items()]
    prepared += [Busy(model_id) for model_id, key in keys.items() if key not in ours]
    left_behind = [row for model_id in missing for row in found.get(model_id, ()) if row.state is State.MINTING]
    abandoned = lock(tx, [row.link_id for row in left_behind])
    advance_all(
        tx,
        [(row, {}) for row in abandoned.values() if row.state is State.MINTING],
        Event.ABANDONED,
        server_now,
        "its worker went away before the answer came",
    )
    return prepared + _record(tx, mint_run, demand, missing, server_now)


def _links_of(tx: ReadTransaction, demand: Demand, model_ids: Sequence[str]) -> dict[str, list[LinkRow]]:
    """The links of each model that are live or being minted, newest first."""
    rows = tx.execute(
        query()
        .where(
            links.c.audience == demand.audience,
            links.c.model_id.in_(list(model_ids)),
            links.c.state.in_([State.LIVE, State.MINTING]),
            links.c.client_id == demand.client_id,
        )
        .order_by(links.c.seq.desc())
    ).all()
    found: dict[str, list[LinkRow]] = {}
    for row in rows:
        found.setdefault(row.model_id, []).append(load(row))
    return found


def _will_do(
    row: LinkRow, mint_run: MintRun, demand: Demand, server_now: datetime, can_open: Callable[[str], bool]
) -> bool:
    if not _openable(row, can_open):
        return False
    if demand.renew_before is not None:
        return _has_left(row, demand, server_now)
    if row.valid_until - server_now <= demand.validity.duration / 4:
        return False
    overlapping = row.seq > mint_run.started_after_seq or row.run_uid in mint_run.concurrent_runs
    return mint_run.run_context.is_same_task(row.run) or overlapping


def _openable(row: LinkRow, can_open: Callable[[str], bool]) -> bool:
    return row.usable and row.sealed is not None and can_open(row.sealed)


def _has_left(row: LinkRow, demand: Demand, server_now: datetime) -> bool:
    return demand.renew_before is not None and row.valid_until - server_now >= demand.renew_before


def _record(
    tx: WriteTransaction, mint_run: MintRun, demand: Demand, model_ids: Sequence[str], server_now: datetime
) -> list[Prepared]:
    chance = os.urandom(16 * len(model_ids))
    asked = [
        PendingMint(model_id, f"lnk_{uuid.UUID(bytes=chance[16 * n : 16 * n + 16], version=4).hex}")
        for n, model_id in enumerate(model_ids)
    ]
    if asked:
        rows = [_row(demand, minting, server_now) for minting in asked]
        add(tx, rows, server_now, f"a link of {demand.validity} is asked for")
    return list(asked)


def _row(demand: Demand, minting: PendingMint, server_now: datetime) -> dict[str, Any]:
    return {
        "link_id": minting.link_id,
        "client_id": demand.client_id,
        "model_id": minting.model_id,
        "audience": demand.audience,
        "valid_for": demand.validity.seconds,
        "requested_at": server_now,
        "valid_until": server_now + demand.validity.duration + _SLACK,
    }


def settle(
    tx: WriteTransaction,
    mint_run: MintRun,
    demand: Demand,
    verdicts: Sequence[tuple[PendingMint, MintVerdict, str | None, str | None]],
    server_now: datetime,
    latest: datetime | None = None,
) -> list[Settled]:
    """Record what became of mints that :func:`prepare` recorded, each with its sealed text and fingerprint if made.

    A mint whose claim has passed is recorded as made all the same, so that its token is known, and retired at once:
    its late owner must not hand it on.

    :param server_now: the server's time.
    :param latest: a moment that has certainly not passed by the server's clock; a lost token's end is reckoned from it.
    """
    keys = {minting.link_id: claim_key(demand, minting.model_id) for minting, *_ in verdicts}
    ours = claims.held(tx, keys.values())
    rows = lock(tx, [minting.link_id for minting, *_ in verdicts])
    purged = [minting for minting, *_ in verdicts if minting.link_id not in rows]
    if purged:
        reason = "its row was purged before its answer came"
        add(tx, [_row(demand, minting, server_now) for minting in purged], server_now, reason)
        rows |= lock(tx, [minting.link_id for minting in purged])
    now = tx.now()
    made: list[tuple[LinkRow, dict[str, Any]]] = []
    settled: list[Settled] = []
    for minting, verdict, sealed, mark in verdicts:
        row = rows[minting.link_id]
        if isinstance(verdict, Made):
            late = row.state is not State.MINTING or keys[row.link_id] not in ours
            past = verdict.link.valid_until <= server_now
            values = {
                "application": verdict.link.application,
                "fingerprint": mark,
                "sealed": sealed,
                "minted_at": server_now,
                "valid_until": server_now + demand.validity.duration if past else verdict.link.valid_until,
                "retire_at": now if late or past else None,
            }
            made.append((row, values))
            settled.append(Settled(row, values, late))
        else:
            _settle_unmade(tx, row, verdict, demand, server_now, latest or server_now)
            settled.append(Settled(row))
    advance_all(tx, made, Event.MADE, server_now, "the API answered with a token")
    claims.release(tx, [keys[row.link_id] for row, _ in made])
    flagged = _heed_tombstones(tx, [values["fingerprint"] for _, values in made], now)
    for row, values in made:
        values["flagged_at"] = row.flagged_at or flagged.get(str(values["fingerprint"]))
    return settled


def _settle_unmade(
    tx: WriteTransaction,
    row: LinkRow,
    verdict: NotMade | Unknown,
    demand: Demand,
    at: datetime,
    latest: datetime,
) -> None:
    open_states = (State.MINTING, State.UNACCOUNTED)
    if isinstance(verdict, NotMade):
        if row.state in open_states:
            advance(tx, row, Event.NOT_MADE, at, str(verdict.error))
        return
    until = latest + demand.validity.duration
    if row.state is State.UNACCOUNTED:
        later = max(until, row.valid_until)
        tx.execute(update(links).where(links.c.seq == row.seq).values(valid_until=later))
    else:
        advance(tx, row, Event.LOST, at, f"the answer was lost: {verdict.reason}", valid_until=until)


def _heed_tombstones(tx: WriteTransaction, marks: Sequence[str], now: datetime) -> dict[str, datetime]:
    """Flag at once what was flagged before it was known; which, and when."""
    met: dict[str, datetime] = {}
    for stone in tx.execute(select(flags).where(flags.c.fingerprint.in_(list(marks)))).all():
        tx.execute(
            update(links)
            .where(links.c.fingerprint == stone.fingerprint, links.c.flagged_at.is_(None))
            .values(flagged_at=now, flag_reason=stone.reason)
        )
        tx.execute(update(flags).where(flags.c.fingerprint == stone.fingerprint).values(hit_at=now))
        met[stone.fingerprint] = now
    return met
