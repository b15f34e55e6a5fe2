"""One run at a time writes a document that several slots share."""

from __future__ import annotations

from pme_airflow.ledger import document_claims
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.publications import Shown, publish
from pme_airflow.ledger.run_context import RunContext
from tests.support.ledgers import mint


def test_a_document_is_claimed_by_one_run_until_it_releases_it(ledger: Database) -> None:
    one, two = RunContext("one"), RunContext("two")
    with ledger.write(one) as tx:
        assert document_claims.take(tx, "board", ["a/", "b/"]) == {"a/", "b/"}
    with ledger.write(two) as tx:
        assert document_claims.take(tx, "board", ["a/", "c/"]) == {"c/"}
        assert document_claims.take(tx, "shelf", ["a/"]) == {"a/"}
        assert not document_claims.hold(tx, "board", "a/")
        document_claims.release(tx, "board", ["a/"])
    with ledger.write(one) as tx:
        assert document_claims.hold(tx, "board", "a/")
        document_claims.release(tx, "board", ["a/"])
    with ledger.write(two) as tx:
        assert document_claims.take(tx, "board", ["a/"]) == {"a/"}
        assert document_claims.take(tx, "board", []) == set()


def test_what_a_document_shows_is_found_by_the_beginning_of_its_slots_in_their_order(ledger: Database) -> None:
    row = mint(ledger)
    for target, slots in (("board", ["a/2", "a/1", "b/1", "a%/1"]), ("shelf", ["a/1"])):
        with ledger.write(RunContext("run")) as tx:
            assert publish(tx, target, [Shown(slot, row.link_id, {}) for slot in slots], claimed=False) == {}
    with ledger.read() as tx:
        assert [shown.slot for shown in document_claims.shown_from(tx, "board", "a/")] == ["a/1", "a/2"]
        assert [shown.slot for shown in document_claims.shown_from(tx, "board", "a%")] == ["a%/1"]
