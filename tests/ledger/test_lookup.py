"""Links are found by what is known of a leaked token: its fingerprint."""

from __future__ import annotations

from pme_airflow.ledger import lookup
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.states import State
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DAY, OTHER, change, insert_link, mint

NOW = FakeClock().now()


def test_the_newest_link_of_a_fingerprint_is_found_whatever_its_state(ledger: Database) -> None:
    for name, state in (("first", "live"), ("second", "revoked")):
        insert_link(ledger, name, NOW, state=state, fingerprint="sha256:a")
    insert_link(ledger, "other", NOW, state="live", fingerprint="sha256:b")
    with ledger.read() as tx:
        found = lookup.by_fingerprint(tx, "sha256:a")
        assert found is not None
        assert found.link_id == "second"
        assert lookup.by_fingerprint(tx, "sha256:none") is None


def test_known_fingerprints_are_returned_once_however_many_are_looked_up(ledger: Database) -> None:
    for name, number in (("a", 0), ("b", 0), ("c", 500)):
        insert_link(ledger, name, NOW, state="revoked", fingerprint=f"sha256:{number}")
    with ledger.read() as tx:
        wanted = [f"sha256:{number}" for number in range(501)]
        assert lookup.known_fingerprints(tx, wanted) == ["sha256:0", "sha256:500"]
        assert lookup.known_fingerprints(tx, []) == []


def test_the_link_minted_last_is_the_clients_and_audiences_own(ledger: Database) -> None:
    first, second = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    mint(ledger, Demand(OTHER, AUDIENCE, DAY))
    mint(ledger, Demand(CLIENT, "portal", DAY))
    with ledger.read() as tx:
        assert lookup.newest_minted(tx, CLIENT, AUDIENCE) == second
    change(ledger, second.link_id, state=State.REVOKED)
    with ledger.read() as tx:
        assert lookup.newest_minted(tx, CLIENT, AUDIENCE) == first
        assert lookup.newest_minted(tx, CLIENT, "none") is None


def test_links_that_may_be_alive_come_first_and_then_the_newest(ledger: Database) -> None:
    for number, state in enumerate(("revoked", "live", "expired", "unaccounted", "live")):
        insert_link(ledger, f"lnk_{number}", NOW, state=state, fingerprint=f"sha256:{number}")
    with ledger.read() as tx:
        found = lookup.links_of(tx, [f"sha256:{number}" for number in range(4)])
    assert [row.link_id for row in found] == ["lnk_3", "lnk_1", "lnk_2", "lnk_0"]
