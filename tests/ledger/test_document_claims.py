"""One run at a time writes a document that several slots share."""

from __future__ import annotations

from pme_airflow.ledger import document_claims
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.run_context import RunContext


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
