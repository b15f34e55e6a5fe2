"""Records the results of mints: links made, refusals, lost responses, and tokens flagged before they were known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import update

from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, Unknown
from pme_airflow.errors import PMEModelError
from pme_airflow.ledger import claims
from pme_airflow.ledger.bulk import one_of
from pme_airflow.ledger.conditions import found_live
from pme_airflow.ledger.flags import apply_tombstones, keep_flags_out
from pme_airflow.ledger.links import LinkRow, advance_all, fetch, lock, query
from pme_airflow.ledger.mint_requests import Demand, PendingMint, record
from pme_airflow.ledger.states import Event, State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["MintAnswer", "Settled", "settle"]

_REPEATED = NotMade(PMEModelError("The API answered with the token of another link."), resend=False)


@dataclass(frozen=True)
class MintAnswer:
    """The API's response to one mint.

    :param pending: the mint, as :func:`~.mint_requests.prepare` recorded it.
    :param verdict: whether a link was made.
    :param sealed: the link's sealed text, where one was made.
    :param fingerprint: its token's fingerprint, where one was made.
    """

    pending: PendingMint
    verdict: MintVerdict
    sealed: str | None = field(default=None, repr=False)
    fingerprint: str | None = None


@dataclass(frozen=True)
class Settled:
    """The recorded result of one mint.

    :param before: its row before the answer was recorded.
    :param made: what was recorded, where a link was made.
    :param orphan: a link was made, but too late: it is recorded and retired, and the model is checked again.
    :param repeated: the link whose token the API answered with once more, so that none was made for this one.
    """

    before: LinkRow
    made: dict[str, Any] | None = field(default=None, repr=False)
    orphan: bool = False
    repeated: LinkRow | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a link to use."""
        made = self.made
        return made is not None and not (self.orphan or made["flagged_at"] or made["retire_at"])

    @property
    def row(self) -> LinkRow:
        """The link as it is recorded."""
        return replace(self.before, state=State.LIVE, **(self.made or {}))


def settle(
    tx: WriteTransaction,
    demand: Demand,
    answers: Sequence[MintAnswer],
    server_now: datetime,
    latest: datetime | None = None,
) -> list[Settled]:
    """Record the results of mints that :func:`~.mint_requests.prepare` recorded.

    A mint whose claim has passed is recorded as made all the same, so that its token is known, and retired at once:
    its late owner must not use it.

    :param server_now: the server's time.
    :param latest: the server's time at the latest; a lost token's end is counted from it.
    """
    keep_flags_out(tx)
    claimed = {a.pending.link_id: [demand.claim_key(model_id) for model_id in a.pending.opens] for a in answers}
    ours = claims.held(tx, chain.from_iterable(claimed.values()))
    rows = _lock_or_restore(tx, demand, [answer.pending for answer in answers], server_now)
    now = tx.now()
    made: list[tuple[LinkRow, dict[str, Any]]] = []
    unmade: list[tuple[LinkRow, NotMade | Unknown]] = []
    settled: list[Settled] = []
    repeated = _repeated(tx, answers, rows)
    for answer in answers:
        row = rows[answer.pending.link_id]
        if row.link_id in repeated:
            unmade.append((row, _REPEATED))
            settled.append(Settled(row, repeated=repeated[row.link_id]))
        elif isinstance(answer.verdict, Made):
            orphan = row.state is not State.MINTING or not ours.issuperset(claimed[row.link_id])
            values = _made(answer, answer.verdict, demand, server_now)
            unfit = answer.verdict.link.valid_until <= server_now or not answer.verdict.is_complete
            values["retire_at"] = now if orphan or unfit else None
            made.append((row, values))
            settled.append(Settled(row, values, orphan))
        else:
            unmade.append((row, answer.verdict))
            settled.append(Settled(row))
    _settle_unmade(tx, unmade, demand, server_now, latest or server_now)
    advance_all(tx, made, Event.MADE, server_now, "the API answered with a token")
    claims.release(tx, chain.from_iterable(claimed[row.link_id] for row, _ in made))
    flagged = apply_tombstones(tx, [values["fingerprint"] for _, values in made], now)
    for row, values in made:
        values["flagged_at"] = row.flagged_at or flagged.get(str(values["fingerprint"]))
    return settled


def _repeated(tx: WriteTransaction, answers: Sequence[MintAnswer], rows: Mapping[str, LinkRow]) -> dict[str, LinkRow]:
    """Return, by the link ids of mints that were answered with the token of another link, that link.

    One row a token: else retiring one of its links would end what the other one's slots show. The link that has the
    token lives as long as the latest answer says.
    """
    made = [(answer, answer.verdict) for answer in answers if isinstance(answer.verdict, Made)]
    wanted = [answer.fingerprint for answer, _ in made if answer.fingerprint is not None]
    live = query().where(found_live(), one_of(tx, links.c.fingerprint, wanted))
    holders = {row.fingerprint: row for row in (fetch(tx, live) if wanted else ())}
    repeated: dict[str, LinkRow] = {}
    for answer, verdict in made:
        holder = holders.get(answer.fingerprint)
        if holder is None:
            holders[answer.fingerprint] = rows[answer.pending.link_id]
            continue
        until = max(holder.valid_until, verdict.link.valid_until)
        tx.execute(
            update(links).where(links.c.seq == holder.seq, links.c.valid_until < until).values(valid_until=until)
        )
        repeated[answer.pending.link_id] = holders[answer.fingerprint] = replace(holder, valid_until=until)
    return repeated


def _lock_or_restore(
    tx: WriteTransaction, demand: Demand, pending: Sequence[PendingMint], server_now: datetime
) -> dict[str, LinkRow]:
    """Lock the rows of mints; a row that was purged before its response arrived is recorded again."""
    rows = lock(tx, [entry.link_id for entry in pending])
    purged = [entry for entry in pending if entry.link_id not in rows]
    if purged:
        record(tx, demand, purged, server_now, "its row was purged before its answer came")
        rows |= lock(tx, [entry.link_id for entry in purged])
    return rows


def _made(answer: MintAnswer, verdict: Made, demand: Demand, server_now: datetime) -> dict[str, Any]:
    """Return what is recorded of a link that was made.

    An end in the past cannot be right: such a link is taken to live for as long as it was requested to.
    """
    past = verdict.link.valid_until <= server_now
    return {
        "application": verdict.link.application,
        "fingerprint": answer.fingerprint,
        "sealed": answer.sealed,
        "minted_at": server_now,
        "valid_until": server_now + demand.validity.duration if past else verdict.link.valid_until,
    }


def _settle_unmade(
    tx: WriteTransaction,
    unmade: Sequence[tuple[LinkRow, NotMade | Unknown]],
    demand: Demand,
    at: datetime,
    latest: datetime,
) -> None:
    """Record mints that made no link, those with the same result together: an outage ends many at once."""
    until = latest + demand.validity.duration
    results: defaultdict[tuple[Event, str], list[tuple[LinkRow, dict[str, Any]]]] = defaultdict(list)
    for row, verdict in unmade:
        if isinstance(verdict, NotMade):
            if row.state in (State.MINTING, State.UNACCOUNTED):
                results[Event.NOT_MADE, str(verdict.error)].append((row, {}))
        elif row.state is State.UNACCOUNTED:
            later = max(until, row.valid_until)
            tx.execute(update(links).where(links.c.seq == row.seq).values(valid_until=later))
        else:
            lost = f"the answer was lost: {verdict.reason}"
            results[Event.LOST, lost].append((row, {"valid_until": until}))
    for (event, reason), changes in results.items():
        advance_all(tx, changes, event, at, reason)
