"""The ledger's rules as a state machine: owners that overlap, answers that are lost, targets that fail, time that passes.

It drives the ledger's own functions against the emulator's truth, and after every step holds the promises against both.
:data:`MUTANTS` are broken copies of single rules, each of which the machine must catch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine, select, update
from sqlalchemy.pool import StaticPool

from pme_airflow.api.messages import EmbedLink
from pme_airflow.api.outcomes import Made, NotMade, Unknown
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.world import IssuedToken
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEUnavailableError
from pme_airflow.ledger import (
    audit,
    claims,
    flags,
    keys,
    links,
    mint_answers,
    mint_requests,
    mint_runs,
    publications,
    revocations,
    slot_claims,
    states,
    sweep_queue,
)
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.links import by_id, fetch, query
from pme_airflow.ledger.mint_answers import MintAnswer
from pme_airflow.ledger.mint_requests import Demand, PendingMint, Prepared, Reuse
from pme_airflow.ledger.mint_runs import MintRun
from pme_airflow.ledger.revocations import NotRevokedAnswer, NotRevokedOutcome
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.ledger.states import Event, State
from pme_airflow.ledger.tables import events
from pme_airflow.ledger.tables import flags as flag_table
from pme_airflow.ledger.tables import links as link_table
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from tests.support.clocks import FakeClock

MODELS = ("ModelAAAAAA", "ModelBBBBBB")
SLOTS = ("page/1", "page/2", "page/3")
OWNERS = 3
HOUR = 3600.0
#: Which states a link may pass through, written here a second time and by hand, so that a slip in the ledger's own table shows.
PATHS: dict[str, set[str]] = {
    "requested": {"made", "not_made", "lost", "abandoned"},
    "lost": {"expired"},
    "abandoned": {"made", "not_made", "expired"},
    "made": {"revoked", "expired"},
    "not_made": set(),
    "revoked": set(),
    "expired": {"made", "lost"},
}


@dataclass
class Owner:
    """One worker: a run under way, its mints in flight, and a publish it has begun."""

    mint_run: MintRun
    demand: Demand
    flying: list[PendingMint] = field(default_factory=list)
    made: dict[str, IssuedToken] = field(default_factory=dict)
    begun: dict[str, datetime] = field(default_factory=dict)
    putting: tuple[str, str] | None = None


class LedgerMachine(RuleBasedStateMachine):
    """See the module's words. Each model has a link of its own; see :class:`SharedTokenMachine`."""

    #: Whether the models share tokens.
    shares = False

    @initialize()
    def begin(self) -> None:
        self.clock = FakeClock(datetime(2026, 5, 1, tzinfo=timezone.utc))
        self.world = World(Settings(models=dict.fromkeys(MODELS, "a space")))
        self.world.now = self.clock.now  # type: ignore[method-assign]
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        self.database = Database(tuned(engine), self.clock, migrate=True)
        self.database.prepare()
        self.runs = 0
        self.owners = [self._fresh(None) for _ in range(OWNERS)]
        self.shown: dict[str, str] = {}
        self.put_at: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.engine.dispose()

    def _fresh(self, renew: float | None) -> Owner:
        self.runs += 1
        margin = None if renew is None else timedelta(seconds=renew)
        demand = Demand("client", "default", Validity.parse("24h"), margin)
        with self.database.write(RunContext(f"dag/run{self.runs}/mint/-1")) as tx:
            mint_run = mint_runs.begin(tx)
        return Owner(mint_run, demand)

    # ------------------------------------------------------------------ mints

    def _prepare(self, owner: Owner, model: str, alone: bool = False) -> list[Prepared]:
        wanted = MODELS if self.shares and not alone else (model,)
        with self.database.write(owner.mint_run.run_context) as tx:
            return mint_requests.prepare(
                tx, owner.mint_run, owner.demand, wanted, self.clock.now(), lambda _: True,
                [wanted] if self.shares else None,
            )  # fmt: skip

    @rule(who=st.integers(0, OWNERS - 1), model=st.sampled_from(MODELS), alone=st.booleans())
    def prepare(self, who: int, model: str, alone: bool) -> None:
        owner = self.owners[who]
        if any(self.shares or model in entry.opens for entry in owner.flying):
            return
        for entry in self._prepare(owner, model, alone):
            if isinstance(entry, PendingMint):
                for other, named in ((other, named) for other in self.owners for named in entry.opens):
                    if other is not owner and any(named in e.opens for e in other.flying):
                        held = self.clock.now() - other.begun[named]
                        assert held >= claims.CLAIM_TTL, "two owners mint for one model at once"
                owner.flying.append(entry)
                owner.begun |= dict.fromkeys(entry.opens, self.clock.now())
            elif isinstance(entry, Reuse):
                assert entry.row.usable, "a link that is flagged, retired or dead was reused"
                assert entry.model_id in entry.row.opens, "a link was reused for a model that it does not open"

    def _issue(self, entry: PendingMint) -> IssuedToken:
        return self.world.issue(entry.opens[0], 86400, entry.opens[1:])

    def _claims(self, owner: Owner, entry: PendingMint) -> bool:
        return all(self._claims_model(owner, model) for model in entry.opens)

    def _claims_model(self, owner: Owner, model: str) -> bool:
        key = owner.demand.claim_key(model)
        with self.database.read() as tx:
            row = tx.execute(
                select(claims.claims).where(
                    claims.claims.c.claim_key == key, claims.claims.c.owner == owner.mint_run.run_context.uid
                )
            ).one_or_none()
        return row is not None and row.expires_at > self.clock.now()

    @precondition(lambda self: any(owner.flying for owner in self.owners))
    @rule(
        who=st.integers(0, OWNERS - 1),
        fate=st.sampled_from(["made", "made", "made", "not_made", "lost", "lost_though_made"]),
    )
    def answer(self, who: int, fate: str) -> None:
        owner = self._one_of([owner for owner in self.owners if owner.flying], who)
        entry = owner.flying.pop(0)
        already = owner.made.pop(entry.link_id, None)
        issued = already or (self._issue(entry) if fate in ("made", "lost_though_made") else None)
        verdict: Any = Unknown("a test's")
        sealed = digest = None
        if fate == "made" and issued is not None:
            token = AccessToken(issued.token)
            link = EmbedLink(
                entry.model_id, token, "showcase", SecretStr(f"https://x.test/{issued.token}"), issued.valid_until
            )
            verdict, sealed, digest = Made(link), "pme-sealed:v1:k:text", fingerprint(token)
        elif fate == "not_made" and issued is None:
            verdict = NotMade(PMEUnavailableError("busy"), resend=True)
        claimed = self._claims(owner, entry)
        with self.database.write(owner.mint_run.run_context) as tx:
            (settled,) = mint_answers.settle(
                tx, owner.demand, [MintAnswer(entry, verdict, sealed, digest)], self.clock.now()
            )
        if isinstance(verdict, Made) and not claimed:
            assert settled.orphan, "an owner whose claim has expired used what it minted"

    @precondition(lambda self: any(owner.flying for owner in self.owners))
    @rule(who=st.integers(0, OWNERS - 1), acted=st.booleans())
    def kill(self, who: int, acted: bool) -> None:
        """A worker is killed; what it had sent may have been made, and nobody will ever hear of it."""
        owner = self._one_of([owner for owner in self.owners if owner.flying], who)
        for entry in owner.flying:
            if acted and entry.link_id not in owner.made and self._may_be_sent(entry):
                self._issue(entry)
        self.owners[self.owners.index(owner)] = self._fresh(None)

    @staticmethod
    def _one_of(owners: list[Owner], who: int) -> Owner:
        return owners[who % len(owners)]

    def _may_be_sent(self, entry: PendingMint) -> bool:
        """A worker that slept between its row and its request sends none."""
        with self.database.read() as tx:
            row = by_id(tx, entry.link_id)
        return row is not None and self.clock.now() - row.requested_at < timedelta(minutes=15)

    @rule(who=st.integers(0, OWNERS - 1), keep=st.booleans())
    def end_run(self, who: int, keep: bool) -> None:
        owner = self.owners[who]
        if owner.flying or owner.putting:
            return
        with self.database.write(owner.mint_run.run_context) as tx:
            mint_runs.finish(tx)
        self.owners[who] = self._fresh(12 * HOUR if keep else None)

    # ----------------------------------------------------------- publications

    @rule(who=st.integers(0, OWNERS - 1), slot=st.sampled_from(SLOTS), pick=st.integers(0, 3))
    def open_slot(self, who: int, slot: str, pick: int) -> None:
        owner = self.owners[who]
        rows = [row for row in self._rows() if row.minted_at is not None]
        if owner.putting is not None or not rows:
            return
        row = rows[-1 - pick % len(rows)]
        plan = self._plan(slot, row.link_id, owner.mint_run.run_context)
        if plan.action is SlotAction.PUT:
            assert row.state is State.LIVE, "a link that is not live was let into a slot"
            assert row.flagged_at is None, "a flagged link was let into a slot"
            assert row.seq >= self.put_at.get(slot, 0), "a slot would go back to an older link"
            owner.putting = (slot, row.link_id)

    def _plan(self, slot: str, link_id: str, actor: RunContext) -> SlotPlan:
        models = {slot: self._model_at(slot, link_id)}
        with self.database.write(actor) as tx:
            return slot_claims.open_slots(tx, "site", {slot: link_id}, models=models)[slot]

    def _model_at(self, slot: str, link_id: str) -> str:
        """Each slot shows one of the models of a token that opens several."""
        with self.database.read() as tx:
            row = by_id(tx, link_id)
        assert row is not None
        return row.opens[SLOTS.index(slot) % len(row.opens)]

    @precondition(lambda self: any(owner.putting for owner in self.owners))
    @rule(who=st.integers(0, OWNERS - 1), fate=st.sampled_from(["shown", "shown", "failed", "killed"]))
    def put(self, who: int, fate: str) -> None:
        owner = self._one_of([owner for owner in self.owners if owner.putting], who)
        assert owner.putting is not None
        slot, link_id = owner.putting
        owner.putting = None
        actor = owner.mint_run.run_context
        if fate == "killed":
            return
        if fate == "failed":
            with self.database.write(actor) as tx:
                slot_claims.release_slots(tx, "site", [slot])
            return
        if not self._publish(slot, link_id, actor, claimed=True):
            owner.putting = self._put_back(slot, link_id, actor)

    def _put_back(self, slot: str, link_id: str, actor: RunContext) -> tuple[str, str] | None:
        """The writer was too late: what it overwrote is to be put again, unless that is of no use any more."""
        stood = next((row for row in self._rows() if row.link_id == self.shown.get(slot)), None)
        with self.database.write() as tx:
            slot_claims.set_uncertain(tx, "site", [slot])
        plan = self._plan(slot, link_id, actor)
        if stood is None or not stood.usable:
            self.put_at[slot] = 0
        if plan.action is not SlotAction.PUT or plan.link is None:
            return None
        assert plan.link.seq >= self.put_at.get(slot, 0), "a slot that was overwritten would go back to an older link"
        return slot, plan.link.link_id

    def _publish(self, slot: str, link_id: str, actor: RunContext, *, claimed: bool) -> bool:
        """Publish, and hold the ledger to what may be recorded; whether it was."""
        entry = publications.Shown(slot, link_id, {}, model_id=self._model_at(slot, link_id))
        with self.database.write(actor) as tx:
            if publications.publish(tx, "site", [entry], claimed=claimed):
                return False
        with self.database.read() as tx:
            row = by_id(tx, link_id)
        assert row is not None
        assert row.seq >= self.put_at.get(slot, 0), "a slot went back to an older link"
        self.put_at[slot] = row.seq
        self.shown[slot] = link_id
        return True

    @rule(slot=st.sampled_from(SLOTS), pick=st.integers(0, 3))
    def a_users_task_records(self, slot: str, pick: int) -> None:
        """A task of a user's own shows a link it holds, without a claim, and records it."""
        rows = [row for row in self._rows() if row.state is State.LIVE and row.flagged_at is None]
        if rows:
            self._publish(slot, rows[-1 - pick % len(rows)].link_id, RunContext("dag/own/own/-1"), claimed=False)

    @rule(model=st.sampled_from(MODELS), slots=st.sets(st.sampled_from(SLOTS), min_size=1), shown=st.booleans())
    def rotate(self, model: str, slots: set[str], shown: bool) -> None:
        """A whole run in which all goes well, or the target alone fails."""
        owner = self._fresh(None)
        actor = owner.mint_run.run_context
        entry = self._prepare(owner, model)[-1]
        if not isinstance(entry, PendingMint):
            return
        issued = self._issue(entry)
        token = AccessToken(issued.token)
        made = Made(EmbedLink(entry.opens[0], token, "showcase", SecretStr("https://x.test/"), issued.valid_until))
        with self.database.write(owner.mint_run.run_context) as tx:
            answer = MintAnswer(entry, made, "pme-sealed:v1:k:text", fingerprint(token))
            mint_answers.settle(tx, owner.demand, [answer], self.clock.now())
            mint_runs.finish(tx)
        for slot in sorted(slots):
            plan = self._plan(slot, entry.link_id, actor)
            if plan.action is SlotAction.PUT and shown:
                self._publish(slot, entry.link_id, actor, claimed=True)
            elif plan.action is SlotAction.PUT:
                with self.database.write(actor) as tx:
                    slot_claims.release_slots(tx, "site", [slot])

    @rule(slot=st.sampled_from(SLOTS))
    def take_away(self, slot: str) -> None:
        with self.database.write(self.owners[0].mint_run.run_context) as tx:
            gone = [p for p in publications.shown_at(tx, "site") if p.slot == slot]
            publications.withdraw(tx, gone, "not listed any more")
        self.shown.pop(slot, None)
        self.put_at.pop(slot, None)

    # ------------------------------------------------------- flags and sweeps

    @rule(pick=st.integers(0, 5))
    def flag(self, pick: int) -> None:
        rows = [row for row in self._rows() if row.fingerprint]
        if rows:
            self._flag(rows[-1 - pick % len(rows)].fingerprint or "")

    @precondition(lambda self: any(owner.flying for owner in self.owners))
    @rule(who=st.integers(0, OWNERS - 1))
    def flag_what_is_not_known_yet(self, who: int) -> None:
        """A token leaks before its answer has come: a tombstone is kept."""
        owner = self._one_of([owner for owner in self.owners if owner.flying], who)
        if owner.flying[0].link_id in owner.made or not self._may_be_sent(owner.flying[0]):
            return
        entry = owner.flying[0]
        owner.made[entry.link_id] = self._issue(entry)
        self._flag(fingerprint(AccessToken(owner.made[entry.link_id].token)))

    def _flag(self, digest: str) -> None:
        with self.database.write(RunContext("cli")) as tx:
            flags.flag(tx, "leaked", fingerprints=[digest])

    @rule(
        fate=st.sampled_from(["true", "true", "true", "false", "lost", "lost_though_done"]),
        full=st.sampled_from([True, True, False]),
        later=st.booleans(),
    )
    def sweep(self, fate: str, full: bool, later: bool) -> None:
        if later:
            self.clock.advance(16 * 60)
        actor = RunContext("dag/sweep/sweep/-1")
        with self.database.write(actor) as tx:
            due = sweep_queue.take_due(tx, "client", 10, flagged_only=not full)
        tokens = {fingerprint(AccessToken(token)): token for token in self.world.tokens}
        for taken in due:
            row = taken.row
            assert row.flagged_at is not None or (row.retire_at is not None and row.retire_at <= self.clock.now())
            done = fate in ("true", "lost_though_done") and self.world.revoke(tokens[row.fingerprint or ""])
            with self.database.write(actor) as tx:
                if done and fate == "true":
                    revocations.revoked(tx, [row], {})
                else:
                    answer = NotRevokedAnswer(row, fate, True, timedelta(seconds=1))
                    revocations.denied(tx, [answer], 3, self.clock.now())

    @rule(drop=st.booleans())
    def close_what_ended(self, drop: bool) -> None:
        with self.database.write(RunContext("dag/sweep/sweep/-1")) as tx:
            revocations.expire(tx, self.clock.now())
            if drop:
                audit.purge_part(tx, self.clock.now() - timedelta(days=2))

    @rule(seconds=st.sampled_from([1.0, 20.0, 50.0, 16 * 60.0, 16 * 60.0, 5 * HOUR, 13 * HOUR, 23 * HOUR, 49 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # -------------------------------------------------------------- promises

    def _rows(self) -> list[links.LinkRow]:
        with self.database.read() as tx:
            return fetch(tx, query().order_by(link_table.c.seq))

    @invariant()
    def nothing_live_is_unknown(self) -> None:
        if not hasattr(self, "database"):
            return
        now = self.clock.now()
        rows = self._rows()
        known = {row.fingerprint for row in rows if row.state is State.LIVE}
        for model in MODELS:
            hidden = sorted(
                (t.valid_until for t in self.world.alive()
                 if t.model_id == model and fingerprint(AccessToken(t.token)) not in known), reverse=True,
            )  # fmt: skip
            cover = sorted(
                (row.valid_until for row in rows if row.opens[0] == model
                 and row.state in (State.MINTING, State.UNACCOUNTED)), reverse=True,
            )  # fmt: skip
            assert len(hidden) <= len(cover), "a live token is covered by no row"
            assert all(until <= covered for until, covered in zip(hidden, cover, strict=False)), "a row ends too early"
        for row in rows:
            if row.state in (State.REVOKED, State.EXPIRED):
                assert row.sealed is None, "a link that is over is still sealed somewhere"
            if row.state is State.LIVE:
                assert row.sealed is not None, "a live link was thrown away"
            if row.state is State.EXPIRED:
                assert row.valid_until <= now, "a link was called expired before its end"
        alive = {fingerprint(AccessToken(t.token)) for t in self.world.alive()}
        gone = {row.fingerprint for row in rows if row.state is State.REVOKED}
        assert not gone & alive, "a link is called revoked, and its token is alive"

    @invariant()
    def no_shown_slot_was_retired(self) -> None:
        if not hasattr(self, "database"):
            return
        rows = {row.link_id: row for row in self._rows()}
        for slot, link_id in self.shown.items():
            row = rows.get(link_id)
            if row is not None and row.state is State.REVOKED:
                assert row.flagged_at is not None, f"{slot} shows a link that retirement revoked"
        with self.database.read() as tx:
            recorded = {p.slot: p.link_id for p in publications.shown_at(tx, "site")}
        assert recorded == self.shown, "the ledger's publications are not what the slots show"

    @invariant()
    def no_state_was_skipped(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database.read() as tx:
            recorded_events = tx.execute(
                select(events.c.link_id, events.c.event).where(events.c.link_id.is_not(None)).order_by(events.c.seq)
            ).all()
        now: dict[str, str] = {}
        made: set[str] = set()
        for link_id, event in recorded_events:
            if event not in PATHS:
                continue
            before = now.get(link_id)
            if event == "made":
                assert link_id not in made, "an answer came twice"
                made.add(link_id)
            assert (event == "requested") if before is None else (event in PATHS[before]), f"{before} then {event}"
            now[link_id] = event
        ends = {"requested": "minting", "made": "live", "not_made": "failed", "lost": "unaccounted",
                "abandoned": "unaccounted", "revoked": "revoked", "expired": "expired"}  # fmt: skip
        for row in self._rows():
            assert ends[now[row.link_id]] == row.state.value, "a state was written without its event"

    @invariant()
    def a_tombstone_is_heeded(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database.read() as tx:
            stones = set(tx.scalars(select(flag_table.c.fingerprint)))
        for row in self._rows():
            if row.fingerprint in stones and row.state is State.LIVE:
                assert row.flagged_at is not None, "a token flagged before it was known is not flagged"


class SharedTokenMachine(LedgerMachine):
    """The same with tokens that both models share, as far as none of them has a link already."""

    shares = True


# ------------------------------------------------------------------- mutants


@contextmanager
def _patched(*patches: Any) -> Iterator[None]:
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _patch(module: Any, name: str, make: Callable[[Any], Any]) -> Any:
    return mock.patch.object(module, name, make(getattr(module, name)))


def _transition(before: State | None, event: Event, after: State) -> Any:
    return mock.patch.dict(states._TRANSITIONS, {(before, event): after})


def _late_owner(_: Any) -> Any:
    return lambda tx, keys: set(keys)


def _lost_ends_early(original: Any) -> Any:
    def settle(tx: Any, row: Any, verdict: Any, demand: Any, at: Any, latest: Any) -> None:
        original(tx, row, verdict, demand, at, latest)
        tx.execute(update(link_table).where(link_table.c.seq == row.seq).values(valid_until=at))

    return settle


def _lost_is_failed(original: Any) -> Any:
    def settle(tx: Any, row: Any, verdict: Any, demand: Any, at: Any, latest: Any) -> None:
        original(tx, row, NotMade(PMEUnavailableError("x"), resend=True), demand, at, latest)

    return settle


def _retires_what_is_shown(_: Any) -> Any:
    def retire(tx: Any, locked: Any, why: Any, now: Any) -> None:
        tx.execute(update(link_table).where(link_table.c.link_id.in_(list(why))).values(retire_at=now))

    return retire


def _failure_retires(original: Any) -> Any:
    def release_slots(tx: Any, target: str, slots: Any) -> None:
        shown = [p.link_id for p in publications.shown_at(tx, target) if p.slot in slots]
        tx.execute(
            update(link_table)
            .where(link_table.c.link_id.in_(shown))
            .values(retire_at=datetime(2026, 1, 1, tzinfo=timezone.utc))
        )
        original(tx, target, slots)

    return release_slots


def _retirement_stays(original: Any) -> Any:
    def publish(tx: Any, target: str, shown: Any, *rest: Any, **named: Any) -> Any:
        rows = [by_id(tx, entry.link_id) for entry in shown]
        refused = original(tx, target, shown, *rest, **named)
        for row in rows:
            if row is not None:
                tx.execute(update(link_table).where(link_table.c.seq == row.seq).values(retire_at=row.retire_at))
        return refused

    return publish


def _denied_is_revoked(_: Any) -> Any:
    def denied(tx: Any, answers: Any, most: int, now: Any) -> Any:
        revocations.revoked(tx, [answer.row for answer in answers], {})
        return NotRevokedOutcome()

    return denied


def _keeps_sealed(original: Any) -> Any:
    def revoked(tx: Any, rows: Any, verified: Any) -> Any:
        held = {row.link_id: row.sealed for row in rows}
        gone = original(tx, rows, verified)
        for row in gone:
            tx.execute(update(link_table).where(link_table.c.seq == row.seq).values(sealed=held[row.link_id]))
        return gone

    return revoked


def _expires_early(original: Any) -> Any:
    return lambda tx, now, limit=1000: original(tx, now + timedelta(hours=2), limit)


def _purges_the_living(original: Any) -> Any:
    def purge_part(tx: Any, before: Any) -> int:
        with mock.patch.object(audit, "ALIVE", frozenset({State.LIVE, State.MINTING})):
            return original(tx, before + timedelta(days=4))

    return purge_part


def _everything_is_ours(_: Any) -> Any:
    return lambda tx, keys: set(keys)


def _dead_links_are_put(_: Any) -> Any:
    def open_slots(tx: Any, target: str, wanted: Any, *_: Any, **__: Any) -> Any:
        claimed = {slot: keys.slot_claim(target, slot) for slot in wanted}
        taken = claims.take(tx, claimed.values())
        return {
            slot: SlotPlan(SlotAction.PUT if claimed[slot] in taken else SlotAction.BUSY, by_id(tx, link_id))
            for slot, link_id in wanted.items()
        }

    return open_slots


#: Broken copies of rules that are about tokens of several models alone.
SHARED_MUTANTS: dict[str, Callable[[], Any]] = {
    "a token is retired with the first of its slots": lambda: _patched(
        _patch(publications, "retire_unshown", _retires_what_is_shown),
        _patch(slot_claims, "retire_unshown", _retires_what_is_shown),
    ),
}

MUTANTS: dict[str, Callable[[], Any]] = {
    "a late owner's write is taken": lambda: _patched(_patch(claims, "held", _late_owner)),
    "a lost answer counts as not made": lambda: _patched(_patch(mint_answers, "_settle_unmade", _lost_is_failed)),
    "a lost answer's row ends too early": lambda: _patched(_patch(mint_answers, "_settle_unmade", _lost_ends_early)),
    "what a dead worker left counts as not made": lambda: _patched(
        _transition(State.MINTING, Event.ABANDONED, State.FAILED)
    ),
    "a claim excludes nobody": lambda: _patched(_patch(claims, "take", _everything_is_ours)),
    "a slot goes back to an older link": lambda: _patched(
        _patch(publications, "shows_later", lambda _: lambda *a: False),
        _patch(slot_claims, "shows_later", lambda _: lambda *a: False),
    ),
    "a link another slot shows is retired": lambda: _patched(
        _patch(publications, "retire_unshown", _retires_what_is_shown),
        _patch(slot_claims, "retire_unshown", _retires_what_is_shown),
    ),
    "a failed publish retires the old link": lambda: _patched(_patch(slot_claims, "release_slots", _failure_retires)),
    "a link shown again stays retired": lambda: _patched(_patch(publications, "publish", _retirement_stays)),
    "anything but true counts as revoked": lambda: _patched(_patch(revocations, "denied", _denied_is_revoked)),
    "a revoked link's sealed text is kept": lambda: _patched(_patch(revocations, "revoked", _keeps_sealed)),
    "a link is closed before its end": lambda: _patched(_patch(revocations, "expire", _expires_early)),
    "a purge drops what may be alive": lambda: _patched(_patch(audit, "purge_part", _purges_the_living)),
    "a dead link is let into a slot": lambda: _patched(_patch(slot_claims, "open_slots", _dead_links_are_put)),
    "a tombstone is ignored": lambda: _patched(_patch(mint_answers, "apply_tombstones", lambda _: lambda *a: {})),
    "an answer may come after the end": lambda: _patched(
        _transition(State.UNACCOUNTED, Event.MADE, State.LIVE),
        _transition(State.MINTING, Event.LOST, State.LIVE),
    ),
}
