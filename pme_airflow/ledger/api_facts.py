"""What was learned about the API of one client, kept for a day so that other processes need not ask for it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select

from pme_airflow.ledger import keys
from pme_airflow.ledger.bulk import insert_missing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import api_facts
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["LedgerFacts"]

#: An API may get a field back, or may have refused it by mistake: a day later it is asked for once more.
_KEPT_FOR = timedelta(days=1)


class LedgerFacts:
    """A :class:`~pme_airflow.api.dialect.FactStore` in the ledger.

    :param database: the ledger.
    :param host: the base address of the API.
    :param client_id: whose API it is: what an API offers may depend on the account.
    """

    def __init__(self, database: Database, host: str, client_id: str) -> None:
        self._database = database
        self._key = keys.api_key(host, client_id)

    def load(self) -> dict[str, str]:
        """Return the facts of the last 24 hours by name.

        :raises PMEError: where the ledger cannot be read, or has no tables yet.
        """
        with self._database.read() as tx:
            since = tx.now() - _KEPT_FOR
            known = select(api_facts.c.name, api_facts.c.value).where(
                api_facts.c.api_key == self._key, api_facts.c.learned_at > since
            )
            return {str(row.name): str(row.value) for row in tx.execute(known)}

    def save(self, facts: dict[str, str]) -> None:
        """Keep facts by name, in place of earlier ones of the same names.

        :raises PMEError: where the ledger cannot be written.
        """

        def work(tx: WriteTransaction) -> None:
            now = tx.now()
            tx.execute(delete(api_facts).where(api_facts.c.api_key == self._key, api_facts.c.name.in_(list(facts))))
            rows = [
                {"api_key": self._key, "name": name, "value": value, "learned_at": now} for name, value in facts.items()
            ]
            insert_missing(tx, api_facts, rows)

        self._database.run(None, work)
