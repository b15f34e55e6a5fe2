"""Facts about an API, kept for a day."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.errors import LedgerMissingError
from pme_airflow.ledger.api_facts import LedgerFacts
from pme_airflow.ledger.tables import api_facts
from tests.support.ledgers import ledger_at


def test_facts_are_kept_for_each_api_and_replaced(ledger_address: str) -> None:
    database = ledger_at(ledger_address)
    facts = LedgerFacts(database, "https://one.test", "client")
    with pytest.raises(LedgerMissingError):
        facts.load()
    facts.save({"probe": "model", "refused_field:link": ""})
    facts.save({"probe": "page"})
    assert facts.load() == {"probe": "page", "refused_field:link": ""}
    for other in (LedgerFacts(database, "https://two.test", "client"), LedgerFacts(database, "https://one.test", "x")):
        assert other.load() == {}


def test_a_fact_is_forgotten_after_a_day(ledger_address: str) -> None:
    database = ledger_at(ledger_address)
    facts = LedgerFacts(database, "https://one.test", "client")
    facts.save({"probe": "model"})
    with database.write() as tx:
        tx.execute(api_facts.update().values(learned_at=tx.now() - timedelta(days=1)))
    assert facts.load() == {}
