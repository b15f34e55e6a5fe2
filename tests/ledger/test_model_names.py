from __future__ import annotations

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.model_names import known_names, record_names
from tests.support.ledgers import CLIENT, OTHER, ledger_at, task


def names(ledger: Database, client_id: str = CLIENT) -> dict[str, str]:
    with ledger.read() as tx:
        return known_names(tx, client_id, ["a", "b"])


def test_the_last_name_of_a_model_is_kept_for_each_client(ledger_address: str) -> None:
    ledger = ledger_at(ledger_address)
    ledger.prepare()
    record_names(ledger, task(), CLIENT, {"a": "Hall", "b": "Küche 😀"})
    record_names(ledger, task(), CLIENT, {"a": "Great Hall"})
    assert names(ledger) == {"a": "Great Hall", "b": "Küche 😀"}
    assert names(ledger, OTHER) == {}


def test_names_are_returned_of_the_models_that_were_asked_for(ledger_address: str) -> None:
    ledger = ledger_at(ledger_address)
    ledger.prepare()
    record_names(ledger, task(), CLIENT, {"a": "Hall", "b": "Kitchen"})
    with ledger.read() as tx:
        assert known_names(tx, CLIENT, ["b", "c"]) == {"b": "Kitchen"}
