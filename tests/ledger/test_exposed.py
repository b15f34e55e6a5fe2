"""Leaked links that may be alive, by the client that can revoke them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.ledger import exposed
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.exposed import FlaggedAlive
from pme_airflow.ledger.states import ALIVE, State
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, OTHER, insert_link

NOW = FakeClock().now()
HOUR = timedelta(hours=1)


def matching(ledger: Database, **criteria: list[str]) -> list[str]:
    with ledger.read() as tx:
        return [row.link_id for row in exposed.links_matching(tx, **criteria)]


def test_flagged_links_are_counted_by_the_client_that_can_revoke_them(ledger: Database) -> None:
    for number, (client, irrevocable) in enumerate([(OTHER, False), (CLIENT, True), (CLIENT, False)], 1):
        insert_link(ledger, f"lnk_{number}", NOW, state="live", client_id=client, flagged_at=NOW,
                    irrevocable=irrevocable, valid_until=NOW + number * HOUR)  # fmt: skip
    insert_link(ledger, "in use", NOW, state="live", valid_until=NOW + 9 * HOUR)
    for state in set(State) - {State.LIVE}:
        insert_link(ledger, state.value, NOW, state=state, flagged_at=NOW, valid_until=NOW + 9 * HOUR)
    with ledger.read() as tx:
        assert exposed.flagged_alive(tx) == [
            FlaggedAlive(CLIENT, 2, 1, NOW + 3 * HOUR), FlaggedAlive(OTHER, 1, 0, NOW + HOUR),
        ]  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_flagged_links_that_may_be_alive_are_listed(ledger: Database, state: State) -> None:
    insert_link(ledger, "lnk", NOW, state=state, flagged_at=NOW)
    insert_link(ledger, "in use", NOW, state=state)
    with ledger.read() as tx:
        assert [row.link_id for row in exposed.flagged_links(tx, 9)] == (["lnk"] if state in ALIVE else [])
    assert matching(ledger) == (["lnk", "in use"] if state in ALIVE else [])


def test_flagged_links_are_listed_newest_first_up_to_a_limit(ledger: Database) -> None:
    for number in range(3):
        insert_link(ledger, f"lnk_{number}", NOW, state="live", flagged_at=NOW)
    with ledger.read() as tx:
        assert [row.link_id for row in exposed.flagged_links(tx, 2)] == ["lnk_2", "lnk_1"]


def test_links_match_every_criterion_and_are_found_oldest_first_and_once(ledger: Database) -> None:
    for name, model_id, audience in (("a", "A", "x"), ("b", "B", "x"), ("c", "A", "y")):
        insert_link(ledger, name, NOW, state="live", model_id=model_id, audience=audience, fingerprint=f"sha256:{name}")
    insert_link(ledger, "gone", NOW, state="revoked", model_id="A", audience="x", fingerprint="sha256:gone")
    assert matching(ledger) == ["a", "b", "c"]
    assert matching(ledger, models=["A"]) == ["a", "c"]
    assert matching(ledger, audiences=["x"]) == ["a", "b"]
    assert matching(ledger, models=["A"], audiences=["x"]) == ["a"]
    assert matching(ledger, link_ids=["a", "gone"], fingerprints=["sha256:c", "sha256:a"]) == ["a", "c"]
    assert matching(ledger, link_ids=["a"], fingerprints=["sha256:c"], models=["B"]) == []
    assert matching(ledger, fingerprints=["none"]) == []
