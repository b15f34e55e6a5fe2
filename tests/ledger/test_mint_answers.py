"""What became of mints: every token that may exist is known, with the latest time at which it can be alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, select

from pme_airflow.api.outcomes import MintVerdict, NotMade, Unknown
from pme_airflow.errors import LedgerStateError, PMEUnavailableError
from pme_airflow.ledger import claims, flags, mint_answers, mint_requests, mint_runs, sweep_queue
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_answers import MintAnswer
from pme_airflow.ledger.mint_requests import PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import flags as flag_table
from pme_airflow.ledger.tables import links as link_table
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.clocks import FakeClock
from tests.support.databases import fresh
from tests.support.ledgers import (
    AUDIENCE,
    CLIENT,
    DEMAND,
    MODEL,
    begin_mint,
    change,
    events_of,
    ledger_at,
    made,
    row_of,
    settle,
    task,
    token,
)

RUN = task("monday")
DAY = timedelta(days=1)
SEALED = "pme-sealed:v1:k:text"
NOT_MADE = NotMade(PMEUnavailableError("busy"), resend=True)
LOST = Unknown("the connection broke")


def answer(pending: PendingMint, verdict: MintVerdict, of: AccessToken | None = None) -> MintAnswer:
    if of is None:
        return MintAnswer(pending, verdict)
    return MintAnswer(pending, verdict, SEALED, fingerprint(of))


def test_a_link_that_was_made_is_live_as_the_api_answered(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    clock.advance(3)
    until = clock.now() + timedelta(hours=23)
    with events_of(ledger) as events:
        (settled,) = settle(ledger, RUN, DEMAND, answer(pending, made(secret, until), secret))
    row = row_of(ledger, pending.link_id)
    assert settled.row == row
    assert settled.usable
    assert not settled.orphan
    assert (row.state, row.valid_until, row.minted_at) == (State.LIVE, until, clock.now())
    assert (row.sealed, row.fingerprint, row.application) == (SEALED, fingerprint(secret), "showcase")
    assert (row.retire_at, row.flagged_at) == (None, None)
    assert [(event["event"], event["fingerprint"]) for event in events] == [("made", fingerprint(secret))]


def test_the_claim_is_released_once_the_answer_is_recorded(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))
    with ledger.write(RUN) as tx:
        assert claims.held(tx, [DEMAND.claim_key(MODEL)]) == set()


def test_the_claim_is_kept_for_another_attempt_where_nothing_was_made(ledger: Database) -> None:
    pending = begin_mint(ledger, run=RUN)
    settle(ledger, RUN, DEMAND, answer(pending, NOT_MADE))
    with ledger.write(RUN) as tx:
        assert claims.held(tx, [DEMAND.claim_key(MODEL)])


def test_a_late_owners_link_is_known_and_retired_at_once(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    clock.advance(CLAIM_TTL.total_seconds())
    (settled,) = settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))
    assert settled.orphan
    assert not settled.usable
    row = row_of(ledger, pending.link_id)
    assert (row.state, row.retire_at, row.fingerprint) == (State.LIVE, clock.now(), fingerprint(secret))


def test_an_answer_after_its_row_was_given_up_is_known_and_retired(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    change(ledger, pending.link_id, state=State.UNACCOUNTED)
    (settled,) = settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))
    assert settled.orphan
    assert row_of(ledger, pending.link_id).state is State.LIVE


@pytest.mark.parametrize("seconds", [0, 1, 86400])
def test_a_link_that_ends_in_the_past_is_known_for_as_long_as_it_was_requested(
    ledger: Database, clock: FakeClock, seconds: int
) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    (settled,) = settle(
        ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() - timedelta(seconds=seconds)), secret)
    )
    row = row_of(ledger, pending.link_id)
    assert (row.valid_until, row.retire_at, settled.usable) == (clock.now() + DAY, clock.now(), False)
    assert not settled.orphan


def test_a_link_that_has_a_second_left_is_taken_as_it_is(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    until = clock.now() + timedelta(seconds=1)
    (settled,) = settle(ledger, RUN, DEMAND, answer(pending, made(secret, until), secret))
    assert (settled.usable, row_of(ledger, pending.link_id).valid_until) == (True, until)


def test_a_mint_that_was_refused_made_nothing(ledger: Database) -> None:
    pending = begin_mint(ledger, run=RUN)
    with events_of(ledger) as events:
        (settled,) = settle(ledger, RUN, DEMAND, answer(pending, NOT_MADE))
    assert (row_of(ledger, pending.link_id).state, settled.usable, settled.made) == (State.FAILED, False, None)
    assert [(event["event"], event["reason"]) for event in events] == [("not_made", "busy")]


def test_a_lost_answer_is_covered_for_as_long_as_its_token_can_live(ledger: Database, clock: FakeClock) -> None:
    """From the latest time the server may have acted at, whatever this worker's clock is worth."""
    pending = begin_mint(ledger, run=RUN)
    latest = clock.now() + timedelta(minutes=11)
    with events_of(ledger) as events:
        (settled,) = settle(ledger, RUN, DEMAND, answer(pending, LOST), latest=latest)
    row = row_of(ledger, pending.link_id)
    assert (row.state, row.valid_until, settled.usable) == (State.UNACCOUNTED, latest + DAY, False)
    assert [(event["event"], event["reason"]) for event in events] == [
        ("lost", "the answer was lost: the connection broke")
    ]


def test_a_lost_answer_is_covered_from_the_servers_time_where_it_is_known(ledger: Database, clock: FakeClock) -> None:
    pending = begin_mint(ledger, run=RUN)
    settle(ledger, RUN, DEMAND, answer(pending, LOST), server_now=clock.now() + timedelta(minutes=3))
    assert row_of(ledger, pending.link_id).valid_until == clock.now() + timedelta(minutes=3) + DAY


@pytest.mark.parametrize(("later", "hours"), [(2, 26), (-2, 24)])
def test_a_row_that_was_given_up_is_only_ever_covered_for_longer(
    ledger: Database, clock: FakeClock, later: int, hours: int
) -> None:
    pending = begin_mint(ledger, run=RUN)
    change(ledger, pending.link_id, state=State.UNACCOUNTED, valid_until=clock.now() + DAY)
    settle(ledger, RUN, DEMAND, answer(pending, LOST), latest=clock.now() + timedelta(hours=later))
    row = row_of(ledger, pending.link_id)
    assert (row.state, row.valid_until) == (State.UNACCOUNTED, clock.now() + timedelta(hours=hours))


@pytest.mark.parametrize("state", [State.EXPIRED, State.FAILED, State.REVOKED, State.LIVE])
def test_a_refusal_changes_no_row_that_is_closed(ledger: Database, state: State) -> None:
    pending = begin_mint(ledger, run=RUN)
    change(ledger, pending.link_id, state=state)
    with events_of(ledger) as events:
        settle(ledger, RUN, DEMAND, answer(pending, NOT_MADE))
    assert (row_of(ledger, pending.link_id).state, events) == (state, [])


@pytest.mark.parametrize(("verdict", "state"), [("made", State.LIVE), ("lost", State.UNACCOUNTED)])
def test_the_answer_of_a_worker_that_slept_past_its_rows_end_is_taken(
    ledger: Database, clock: FakeClock, verdict: str, state: State
) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    change(ledger, pending.link_id, state=State.EXPIRED)
    given = answer(pending, made(secret, clock.now() + DAY), secret) if verdict == "made" else answer(pending, LOST)
    (settled,) = settle(ledger, RUN, DEMAND, given)
    assert (row_of(ledger, pending.link_id).state, settled.usable) == (state, False)


def test_no_answer_brings_a_revoked_link_to_life(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    change(ledger, pending.link_id, state=State.REVOKED)
    with pytest.raises(LedgerStateError, match="revoked cannot be made"):
        settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))


@pytest.mark.parametrize("verdict", ["made", "lost", "not made"])
def test_an_answer_whose_row_was_purged_is_recorded_all_the_same(
    ledger: Database, clock: FakeClock, verdict: str
) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    with ledger.write() as tx:
        tx.execute(delete(link_table))
    given = {"made": answer(pending, made(secret, clock.now() + DAY), secret), "lost": answer(pending, LOST),
             "not made": answer(pending, NOT_MADE)}[verdict]  # fmt: skip
    with events_of(ledger) as events:
        settle(ledger, RUN, DEMAND, given)
    row = row_of(ledger, pending.link_id)
    assert row.state.value == {"made": "live", "lost": "unaccounted", "not made": "failed"}[verdict]
    assert (row.client_id, row.audience, row.model_id) == (CLIENT, AUDIENCE, MODEL)
    assert events[0]["reason"] == "its row was purged before its answer came"


def test_several_answers_are_recorded_together_each_as_it_is(ledger: Database, clock: FakeClock) -> None:
    models = [f"Model{index:06d}" for index in range(4)]
    pending = [begin_mint(ledger, DEMAND, model_id, RunContext("x", uid="one")) for model_id in models[:1]]
    for model_id in models[1:]:
        pending.append(begin_mint(ledger, DEMAND, model_id, RunContext("x", uid=f"one{model_id}")))
    with ledger.write() as tx:
        tx.execute(claims.claims.update().values(owner="one"))
    one, two = token(), token()
    answers = [
        answer(pending[0], made(one, clock.now() + DAY, models[0]), one),
        answer(pending[1], NOT_MADE),
        answer(pending[2], LOST),
        answer(pending[3], made(two, clock.now() + DAY, models[3]), two),
    ]
    settled = settle(ledger, RunContext("x", uid="one"), DEMAND, *answers)
    assert [entry.usable for entry in settled] == [True, False, False, True]
    assert [entry.before.model_id for entry in settled] == models
    states = [row_of(ledger, entry.link_id).state.value for entry in pending]
    assert states == ["live", "failed", "unaccounted", "live"]
    assert row_of(ledger, pending[3].link_id).fingerprint == fingerprint(two)


@pytest.mark.parametrize(("verdict", "name"), [(NOT_MADE, "not_made"), (LOST, "lost")])
def test_mints_that_an_outage_ended_together_are_recorded_together(
    ledger: Database, verdict: MintVerdict, name: str
) -> None:
    def statements(count: int) -> list[str]:
        run, models = task(f"run{count}"), [f"M{count:04d}{index:06d}" for index in range(count)]
        with ledger.write(run) as tx:
            staged = mint_requests.prepare(tx, mint_runs.begin(tx), DEMAND, models, tx.now(), lambda _: True)
        pending = [entry for entry in staged if isinstance(entry, PendingMint)]
        sent: list[str] = []
        with events_of(ledger) as events, ledger.write(run) as tx:
            event.listen(tx.connection, "before_cursor_execute", lambda *args: sent.append(args[2].split()[0]))
            mint_answers.settle(tx, DEMAND, [answer(entry, verdict) for entry in pending], tx.now())
        assert [(entry["model_id"], entry["event"]) for entry in events] == [(model_id, name) for model_id in models]
        return sent

    assert statements(20) == statements(2)


# --------------------------------------------------- flagged before its end


def flag(ledger: Database, **what: Any) -> flags.Flagged:
    with ledger.write(RunContext("cli")) as tx:
        return flags.flag(tx, "leaked", **what)


def test_a_token_that_was_flagged_before_it_was_known_is_flagged(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    flag(ledger, fingerprints=[fingerprint(secret)])
    clock.advance(5)
    (settled,) = settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))
    row = row_of(ledger, pending.link_id)
    assert (row.flagged_at, row.flag_reason, settled.usable) == (clock.now(), "leaked", False)
    assert settled.row.flagged_at == row.flagged_at
    with ledger.read() as tx:
        assert tx.scalar(select(flag_table.c.hit_at)) == clock.now()
        assert flags.tombstones_among(tx, [fingerprint(secret), "sha256:other"]) == [fingerprint(secret)]


@pytest.mark.parametrize("state", [State.MINTING, State.UNACCOUNTED])
@pytest.mark.parametrize("by", ["link_ids", "models", "audiences"])
def test_a_flag_before_the_answer_hits_the_link_when_it_becomes_live(
    ledger: Database, clock: FakeClock, state: State, by: str
) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    change(ledger, pending.link_id, state=state)
    flagged = flag(ledger, **{by: [{"link_ids": pending.link_id, "models": MODEL, "audiences": AUDIENCE}[by]]})
    assert [row.link_id for row in flagged.links] == [pending.link_id]
    flagged_at = clock.now()
    clock.advance(5)
    (settled,) = settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))
    row = row_of(ledger, pending.link_id)
    assert (row.state, row.flagged_at, settled.usable) == (State.LIVE, flagged_at, False)
    with ledger.write(task("sweep")) as tx:
        assert [due.row.link_id for due in sweep_queue.take_due(tx, CLIENT, 5, flagged_only=True)] == [pending.link_id]


def test_a_tombstone_flags_no_other_link_and_no_flag_twice(ledger: Database, clock: FakeClock) -> None:
    pending, secret = begin_mint(ledger, run=RUN), token()
    flag(ledger, fingerprints=[fingerprint(secret), fingerprint(token())])
    flag(ledger, link_ids=[pending.link_id])
    flagged_at = clock.now()
    clock.advance(5)
    settle(ledger, RUN, DEMAND, answer(pending, made(secret, clock.now() + DAY), secret))
    other, second = begin_mint(ledger, run=task("tuesday")), token()
    settle(ledger, task("tuesday"), DEMAND, answer(other, made(second, clock.now() + DAY), second))
    assert row_of(ledger, pending.link_id).flagged_at == flagged_at
    assert row_of(ledger, other.link_id).flagged_at is None
    with ledger.read() as tx:
        assert sorted(hit is None for hit in tx.scalars(select(flag_table.c.hit_at))) == [False, True]


def test_a_flag_and_an_answer_at_the_same_time_do_not_miss_each_other(servers: Callable[[str], str]) -> None:
    """The flag sees no link of the token yet, the answer no tombstone: each must wait for the other's end."""
    address = fresh(servers("postgresql"))
    minting, flagging = ledger_at(address), ledger_at(address)
    pending, secret = begin_mint(minting, run=RUN), token()
    flagging.prepare()
    done = threading.Event()

    def leak() -> None:
        flag(flagging, fingerprints=[fingerprint(secret)])
        done.set()

    thread = threading.Thread(target=leak)
    with minting.write(RUN) as tx:
        given = answer(pending, made(secret, tx.now() + DAY), secret)
        mint_answers.settle(tx, DEMAND, [given], tx.now())
        thread.start()
        assert not done.wait(0.5)
    thread.join(60)
    assert done.is_set()
    assert row_of(minting, pending.link_id).flagged_at is not None


def test_answers_of_several_workers_are_recorded_at_the_same_time(servers: Callable[[str], str]) -> None:
    """They keep flags out, and not one another."""
    address = fresh(servers("postgresql"))
    one, two = ledger_at(address), ledger_at(address)
    first, second = begin_mint(one, run=RUN), begin_mint(one, DEMAND, "ModelBBBBBB", task("other"))
    with one.write(RUN) as tx, two.write(task("other")) as other:
        mint_answers.settle(tx, DEMAND, [answer(first, LOST)], tx.now())
        mint_answers.settle(other, DEMAND, [answer(second, LOST)], other.now())
