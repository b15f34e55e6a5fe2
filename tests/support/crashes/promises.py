"""What must hold after every strike: promises 1 to 5, 7 and 9 of the ledger, the slots and the API's own truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from pme_airflow.ledger import claims as claims_of
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import claims, events, publications
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.crashes.stage import MODELS, Stage
from tests.support.rooms import rows, sweep

#: Which events may follow which, written here a second time and by hand.
_PATHS: dict[str | None, set[str]] = {
    None: {"requested"},
    "requested": {"made", "not_made", "lost", "abandoned"},
    "lost": {"expired"},
    "abandoned": {"made", "not_made", "expired"},
    "made": {"revoked", "expired"},
    "not_made": set(),
    "revoked": set(),
    "expired": {"made", "lost"},
}
_ENDS = {"requested": "minting", "made": "live", "not_made": "failed", "lost": "unaccounted",
         "abandoned": "unaccounted", "revoked": "revoked", "expired": "expired"}  # fmt: skip
_COVERS = (State.MINTING, State.UNACCOUNTED)


@dataclass(frozen=True)
class Before:
    """The state before a strike.

    :param dark: the slots that were dark already.
    :param seqs: the place in the ledger of the link that each slot showed.
    :param tokens: the tokens that had been issued.
    """

    dark: frozenset[str]
    seqs: dict[str, int]
    tokens: frozenset[str]


def mark(token: str) -> str:
    """Return a token's fingerprint."""
    return fingerprint(AccessToken(token))


def before(stage: Stage) -> Before:
    """Note the state that a scenario begins with."""
    known = {row.fingerprint: row.seq for row in rows(stage.services()) if row.fingerprint}
    shown = stage.shown()
    return Before(
        frozenset(dark(stage)),
        {slot: known[mark(token)] for slot, token in shown.items()},
        frozenset(stage.truth.tokens),
    )


def dark(stage: Stage) -> set[str]:
    """Return the slots that show a dead token."""
    stage.truth.refresh()
    now = stage.clock.now()
    return {slot for slot, token in stage.shown().items() if not stage.truth.tokens[token].alive(now)}


def hidden(stage: Stage, known: Iterable[LinkRow]) -> Counter[str]:
    """Count the tokens that are alive and that no row names, by model."""
    named = {row.fingerprint for row in known if row.state is State.LIVE}
    return Counter(issued.model_id for issued in stage.truth.alive() if mark(issued.token) not in named)


def unconfirmed(stage: Stage) -> set[str]:
    """Return the links whose token was revoked by a process that was struck before it could record that.

    The API answers ``false`` for such a token ever after, which confirms nothing: the link stays live in the ledger, is
    tried again, and closes when the token's own end has passed, or a probe finds it dead.
    """
    stage.truth.refresh()
    revoked = {mark(issued.token) for issued in stage.truth.tokens.values() if issued.revoked_at is not None}
    return {row.link_id for row in rows(stage.services(), "live") if row.fingerprint in revoked}


def check_now(stage: Stage, was: Before, *, leaked: bool, clears: bool = False) -> None:
    """Check what must hold at every moment, right after a strike as well.

    :param leaked: whether a leak may have darkened slots.
    :param clears: whether slots may have been cleared.
    """
    services = stage.services()
    stage.truth.refresh()
    known = rows(services)
    _check_nothing_unknown(stage, known)
    _check_rows(stage, known)
    _check_events(services, known)
    now_dark = dark(stage)
    assert leaked or now_dark <= was.dark, f"slots went dark: {sorted(now_dark - was.dark)}"
    by_mark = {row.fingerprint: row for row in known if row.fingerprint}
    shown = stage.shown()
    assert clears or set(was.seqs) <= set(shown), "a slot shows nothing any more"
    for slot, token in shown.items():
        row = by_mark.get(mark(token))
        assert row is not None, f"{slot} shows a link that the ledger does not know"
        assert row.seq >= was.seqs.get(slot, 0), f"{slot} went back to an older link"
        assert row.state is not State.REVOKED or row.flagged_at is not None, f"{slot} shows a retired link"


def _check_nothing_unknown(stage: Stage, known: list[LinkRow]) -> None:
    """Promise 1: each token that is alive has a row of its own, which does not end before it."""
    named = {row.fingerprint for row in known if row.state is State.LIVE}
    for model_id in MODELS:
        ends = sorted((t.valid_until for t in stage.truth.alive()
                       if t.model_id == model_id and mark(t.token) not in named), reverse=True)  # fmt: skip
        covers = sorted((row.valid_until for row in known if row.model_id == model_id and row.state in _COVERS),
                        reverse=True)  # fmt: skip
        assert len(ends) <= len(covers), "a live token is covered by no row"
        assert all(end <= cover for end, cover in zip(ends, covers, strict=False)), "a row ends before its token"


def _check_rows(stage: Stage, known: list[LinkRow]) -> None:
    """Promises 5 and 7: what is called revoked is dead, and what is over is sealed nowhere."""
    alive = {mark(issued.token) for issued in stage.truth.alive()}
    for row in known:
        if row.state is State.REVOKED:
            assert row.fingerprint not in alive, "a link is called revoked, and its token is alive"
        if row.state in (State.REVOKED, State.EXPIRED):
            assert row.sealed is None, "a link that is over is still sealed"
        if row.state is State.LIVE:
            assert row.sealed is not None, "a live link was thrown away"
        if row.state is State.EXPIRED:
            assert row.valid_until <= stage.clock.now() + timedelta(seconds=2), "a link was closed before its end"


def _check_events(services: Services, known: list[LinkRow]) -> None:
    """Promise 11: no state without its event, and no event out of turn."""
    query = select(events.c.link_id, events.c.event).where(events.c.link_id.is_not(None)).order_by(events.c.seq)
    with services.database.read() as tx:
        recorded = tx.execute(query).all()
    last: dict[str, str] = {}
    for link_id, event in recorded:
        if event in _ENDS:
            assert event in _PATHS[last.get(link_id)], f"{last.get(link_id)}, then {event}"
            last[link_id] = event
    for row in known:
        assert _ENDS[last[row.link_id]] == row.state.value, "a state was written without its event"


def _came_late(row: LinkRow, shown: set[str]) -> bool:
    """Return whether a link was retired before any slot showed it: its owner was asleep for longer than a claim lasts."""
    return row.retire_at is not None and row.link_id not in shown


def _ever_shown(services: Services) -> set[str]:
    """Return the links that a slot showed at some time."""
    query = select(events.c.link_id).where(events.c.event == "published")
    with services.database.read() as tx:
        return set(tx.scalars(query))


def check_minted_once(stage: Stage, was: Before) -> None:
    """Promise 2: what was minted and recorded is not minted again; only a lost answer asks for another one."""
    stage.truth.refresh()
    new = Counter(t.model_id for t in stage.truth.tokens.values() if t.token not in was.tokens)
    known = rows(stage.services())
    shown = _ever_shown(stage.services())
    named = {row.fingerprint for row in known if not _came_late(row, shown)}
    lost = Counter(t.model_id for t in stage.truth.tokens.values()
                   if t.token not in was.tokens and mark(t.token) not in named)  # fmt: skip
    for model_id, count in new.items():
        assert count - lost[model_id] <= 1, f"{model_id} was minted for {count} times, {lost[model_id]} of them lost"


def check_publications(stage: Stage) -> None:
    """Promise 9: the ledger's publications are what the slots show."""
    services = stage.services()
    with services.database.read() as tx:
        recorded = {(row.target, row.slot): row.link_id for row in tx.execute(select(publications))}
    marks = {row.link_id: row.fingerprint for row in rows(services)}
    found = {(("site" if target == "site" else "pages") + f"/{slot}"): marks.get(link_id)
             for (target, slot), link_id in recorded.items()}  # fmt: skip
    assert found == {slot: mark(token) for slot, token in stage.shown().items()}, (
        "the publications are not what is shown"
    )


def check_later(stage: Stage) -> None:
    """Check what time and plain sweeps must make of it: nothing stuck, and nothing alive that nobody is shown."""
    stage.truth.denials = 0
    stage.clock.advance(claims_of.CLAIM_TTL.total_seconds() + 1)
    services = stage.services()
    with services.database.read() as tx:
        stuck = tx.execute(select(claims).where(claims.c.expires_at > stage.clock.now())).all()
    assert not stuck, "a claim outlasts its time"
    stage.clock.advance(31 * 60)
    sweep(services)
    known = rows(services)
    _check_nothing_unknown(stage, known)
    lost = unconfirmed(stage)
    due = [row for row in known if row.state is State.LIVE and (row.flagged_at or row.retire_at)]
    assert all(row.link_id in lost for row in due), "a leaked or retired link is still alive"
    shown = {mark(token) for token in stage.shown().values()}
    alive = {mark(t.token) for t in stage.truth.alive()} - shown
    kept = {row.fingerprint for row in known if row.state is State.LIVE and row.retire_at is None}
    uncovered = hidden(stage, known) - Counter(row.model_id for row in known if row.state in _COVERS)
    assert not uncovered
    assert not {m for m in alive if m in kept}, "a link that no slot shows lives on"


def check_the_end(stage: Stage) -> None:
    """Check that a day and a half later nothing is open any more."""
    stage.clock.advance(36 * 3600)
    services = stage.services()
    sweep(services)
    assert stage.truth.alive() == []
    left = {row.state for row in rows(services)} - {State.REVOKED, State.EXPIRED, State.FAILED}
    assert not left, f"rows are left open: {sorted(state.value for state in left)}"
