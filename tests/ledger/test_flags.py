"""Flags: what leaked is revoked whatever it was when it was flagged, and a second flag tries at once."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from pme_airflow.api.outcomes import Unknown
from pme_airflow.ledger import flags, sweep_queue
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.flags import Flagged
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_answers import MintAnswer
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.tables import flags as flag_table
from pme_airflow.ledger.tables import links as link_table
from pme_airflow.sealing import fingerprint
from tests.support.clocks import FakeClock
from tests.support.ledgers import (
    AUDIENCE,
    CLIENT,
    DAY,
    DEMAND,
    MODEL,
    OTHER,
    begin_mint,
    change,
    events_of,
    insert_link,
    made,
    mint,
    row_of,
    settle,
    task,
    token,
)

RUN = task("flag", "flag")
OTHERS = Demand(OTHER, AUDIENCE, DAY)


def flag(ledger: Database, reason: str = "a leak", **named: Any) -> Flagged:
    with ledger.write(RUN) as tx:
        return flags.flag(tx, reason, **named)


def due(ledger: Database, client_id: str = CLIENT) -> list[str]:
    with ledger.write(RUN) as tx:
        return [entry.row.link_id for entry in sweep_queue.take_due(tx, client_id, 100)]


def ids(rows: Flagged | list[LinkRow]) -> set[str]:
    return {row.link_id for row in (rows.links if isinstance(rows, Flagged) else rows)}


def tombstones(ledger: Database) -> dict[str, Any]:
    with ledger.read() as tx:
        return {row.fingerprint: row for row in tx.execute(select(flag_table))}


# ------------------------------------------------------------ what is named


def test_each_way_of_naming_a_link_flags_it_and_no_other(ledger: Database, clock: FakeClock) -> None:
    row, bystander = mint(ledger), mint(ledger, Demand(CLIENT, "portal", DAY), "ModelBBBBBB")
    for name, value in (("fingerprints", row.fingerprint), ("link_ids", row.link_id), ("models", row.model_id),
                        ("audiences", row.audience)):  # fmt: skip
        change(ledger, row.link_id, flagged_at=None, flag_reason=None)
        assert ids(flag(ledger, f"by {name}", **{name: [value]})) == {row.link_id}
        found = row_of(ledger, row.link_id)
        assert (found.flagged_at, found.flag_reason) == (clock.now(), f"by {name}")
    assert row_of(ledger, bystander.link_id).flagged_at is None
    assert tombstones(ledger) == {}


def test_what_names_nothing_alive_is_returned_once(ledger: Database) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, state=State.REVOKED)
    found = flag(ledger, link_ids=["none", "none", row.link_id], models=[MODEL], audiences=["portal"])
    assert found == Flagged((), (), ("link none", f"link {row.link_id}", f"model {MODEL}", "audience portal"))


def test_a_fingerprint_of_a_revoked_link_finds_it_and_changes_nothing(ledger: Database) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, state=State.REVOKED)
    with events_of(ledger) as events:
        found = flag(ledger, fingerprints=[row.fingerprint])
    assert (ids(found), found.tombstones) == ({row.link_id}, ())
    assert row_of(ledger, row.link_id).flagged_at is None
    assert events == []


def test_more_links_than_one_statement_takes_are_flagged(ledger: Database, clock: FakeClock) -> None:
    for number in range(501):
        insert_link(ledger, f"lnk_{number}", clock.now(), state="live", fingerprint=f"sha256:{number}")
    assert len(flag(ledger, fingerprints=[f"sha256:{number}" for number in range(502)]).links) == 501
    with ledger.read() as tx:
        assert tx.scalars(select(link_table.c.link_id).where(link_table.c.flagged_at.is_(None))).all() == []
    assert list(tombstones(ledger)) == ["sha256:501"]


# ------------------------------------------------------------- whose it is


@pytest.mark.parametrize("named", [{"audiences": [AUDIENCE]}, {"models": [MODEL]}], ids=["audience", "model"])
def test_a_flag_for_one_client_leaves_another_clients_links(ledger: Database, named: dict[str, Any]) -> None:
    own, theirs = mint(ledger), mint(ledger, OTHERS)
    assert ids(flag(ledger, client_id=CLIENT, **named)) == {own.link_id}
    assert row_of(ledger, theirs.link_id).flagged_at is None
    assert ids(flag(ledger, **named)) == {own.link_id, theirs.link_id}


def test_a_token_or_link_that_leaked_is_flagged_whichever_client_minted_it(ledger: Database) -> None:
    first, second = mint(ledger, OTHERS), mint(ledger, OTHERS)
    found = flag(ledger, client_id=CLIENT, fingerprints=[first.fingerprint], link_ids=[second.link_id])
    assert ids(found) == {first.link_id, second.link_id}
    assert due(ledger, CLIENT) == []
    assert set(due(ledger, OTHER)) == {first.link_id, second.link_id}


def test_a_model_that_may_be_a_token_is_unknown_and_not_repeated(ledger: Database) -> None:
    pasted = "k3f9s8d7q2m4x6z1b5n0c8v7y"
    (unknown,) = flag(ledger, client_id=CLIENT, models=[pasted]).unknown
    assert "may be a token" in unknown
    assert pasted not in unknown


def test_an_audience_that_only_another_client_has_is_unknown(ledger: Database) -> None:
    mint(ledger, OTHERS)
    assert flag(ledger, client_id=CLIENT, audiences=[AUDIENCE]).unknown == (f"audience {AUDIENCE}",)


# ------------------------------------------------------------ a second flag


@pytest.mark.parametrize(
    "tried",
    [
        {"next_attempt_at": FakeClock().now() + timedelta(minutes=29)},
        {"sweep_owner": "killed", "sweep_until": FakeClock().now() + timedelta(seconds=40)},
        {"irrevocable": True, "revoke_attempts": 6, "next_attempt_at": FakeClock().now() + timedelta(minutes=30)},
    ],
    ids=["tried before", "in another sweep", "irrevocable"],
)
def test_a_second_flag_lets_the_next_sweep_try_at_once(
    ledger: Database, clock: FakeClock, tried: dict[str, Any]
) -> None:
    row = mint(ledger)
    flag(ledger, "the first leak", link_ids=[row.link_id])
    change(ledger, row.link_id, **tried)
    assert due(ledger) == []
    flagged_at = clock.now()
    clock.advance(1)
    with events_of(ledger) as events:
        assert ids(flag(ledger, "again", link_ids=[row.link_id])) == {row.link_id}
    found = row_of(ledger, row.link_id)
    assert (found.revoke_attempts, found.irrevocable, found.next_attempt_at) == (0, False, None)
    assert (found.flagged_at, found.flag_reason) == (flagged_at, "the first leak")
    assert [(event["event"], event["reason"]) for event in events] == [("flagged", "again: again")]
    assert due(ledger) == [row.link_id]


def test_a_leak_of_a_link_that_was_being_retired_is_tried_at_once(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, retire_at=clock.now(), revoke_attempts=6, irrevocable=True,
           next_attempt_at=clock.now() + timedelta(minutes=30))  # fmt: skip
    flag(ledger, link_ids=[row.link_id])
    found = row_of(ledger, row.link_id)
    assert (found.revoke_attempts, found.irrevocable) == (0, False)
    assert due(ledger) == [row.link_id]


# -------------------------------------- links whose token is not known yet


@pytest.mark.parametrize("named", [{"audiences": [AUDIENCE]}, {"models": [MODEL]}, {"link_ids": None}],
                         ids=["audience", "model", "link"])  # fmt: skip
def test_a_link_flagged_while_it_is_minted_is_revoked_once_it_is_live(
    ledger: Database, clock: FakeClock, named: dict[str, Any]
) -> None:
    run, secret = task("monday"), token()
    pending = begin_mint(ledger, run=run)
    named = {name: values or [pending.link_id] for name, values in named.items()}
    assert ids(flag(ledger, **named)) == {pending.link_id}
    assert due(ledger) == []
    answer = MintAnswer(pending, made(secret, clock.now() + timedelta(days=1)), "text", fingerprint(secret))
    (settled,) = settle(ledger, run, DEMAND, answer)
    assert not settled.usable
    assert due(ledger) == [pending.link_id]


def test_an_unaccounted_link_stays_flagged_when_its_answer_comes_late(ledger: Database, clock: FakeClock) -> None:
    run, secret = task("monday"), token()
    pending = begin_mint(ledger, run=run)
    settle(ledger, run, DEMAND, MintAnswer(pending, Unknown("the connection broke")))
    assert row_of(ledger, pending.link_id).state is State.UNACCOUNTED
    assert ids(flag(ledger, audiences=[AUDIENCE])) == {pending.link_id}
    answer = MintAnswer(pending, made(secret, clock.now() + timedelta(days=1)), "text", fingerprint(secret))
    settle(ledger, run, DEMAND, answer)
    assert row_of(ledger, pending.link_id).flagged_at == clock.now()
    assert due(ledger) == [pending.link_id]


@pytest.mark.parametrize("state", State)
def test_an_audience_flags_what_may_be_alive_alone(ledger: Database, clock: FakeClock, state: State) -> None:
    insert_link(ledger, "lnk", clock.now(), state=state)
    assert bool(flag(ledger, audiences=[AUDIENCE]).links) is (state in ALIVE)
    assert (row_of(ledger, "lnk").flagged_at is not None) is (state in ALIVE)


# ---------------------------------------------------------------- tombstones


def test_a_token_flagged_before_it_is_known_is_flagged_when_it_is(ledger: Database, clock: FakeClock) -> None:
    run, secret = task("monday"), token()
    pending = begin_mint(ledger, run=run)
    with events_of(ledger) as events:
        found = flag(ledger, "in a log", fingerprints=[fingerprint(secret)] * 2)
    assert found == Flagged((), (fingerprint(secret),), ())
    assert [(event["event"], event["fingerprint"]) for event in events] == [("tombstone", fingerprint(secret))]
    assert tombstones(ledger)[fingerprint(secret)].hit_at is None
    clock.advance(9)
    answer = MintAnswer(pending, made(secret, clock.now() + timedelta(days=1)), "text", fingerprint(secret))
    (settled,) = settle(ledger, run, DEMAND, answer)
    assert not settled.usable
    row = row_of(ledger, pending.link_id)
    assert (row.flagged_at, row.flag_reason) == (clock.now(), "in a log")
    assert tombstones(ledger)[fingerprint(secret)].hit_at == clock.now()
    assert due(ledger) == [pending.link_id]


def test_a_tombstone_keeps_its_first_time_and_reason(ledger: Database, clock: FakeClock) -> None:
    flag(ledger, "first", fingerprints=["sha256:a"])
    clock.advance(60)
    assert flag(ledger, "second", fingerprints=["sha256:a"]).tombstones == ("sha256:a",)
    stone = tombstones(ledger)["sha256:a"]
    assert (stone.reason, stone.flagged_at, stone.run) == ("first", clock.now() - timedelta(seconds=60), RUN.run)


def test_a_tombstone_leaves_other_tokens_alone(ledger: Database) -> None:
    flag(ledger, fingerprints=["sha256:a"])
    assert row_of(ledger, mint(ledger).link_id).flagged_at is None


def test_tombstones_that_met_a_link_are_found(ledger: Database, clock: FakeClock) -> None:
    flag(ledger, fingerprints=["sha256:b", "sha256:a", "sha256:c"])
    insert_link(ledger, "lnk_a", clock.now(), state="live", fingerprint="sha256:a")
    insert_link(ledger, "lnk_b", clock.now(), state="live", fingerprint="sha256:b")
    with ledger.write(RUN) as tx:
        flags.keep_flags_out(tx)
        assert flags.apply_tombstones(tx, ["sha256:a", "sha256:b", "sha256:d"], clock.now()).keys() == {
            "sha256:a", "sha256:b",
        }  # fmt: skip
        assert flags.tombstones_among(tx, ["sha256:c", "sha256:b", "sha256:a"]) == ["sha256:a", "sha256:b"]


@pytest.mark.parametrize(("dialect", "locks"), [("postgresql", True), ("sqlite", False), ("mysql", False)])
def test_flags_and_mints_wait_for_each_other_where_writers_do_not_take_turns(dialect: str, locks: bool) -> None:
    sent: list[str] = []
    tx: Any = SimpleNamespace(dialect=dialect, execute=lambda statement: sent.append(str(statement)))
    flags._wait_for_mints(tx)
    flags.keep_flags_out(tx)
    wanted = [f"SELECT pg_advisory_xact_lock({flags._LOCK})", f"SELECT pg_advisory_xact_lock_shared({flags._LOCK})"]
    assert sent == (wanted if locks else [])
