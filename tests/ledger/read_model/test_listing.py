from __future__ import annotations

import pytest
from sqlalchemy import select

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.listing import listing
from pme_airflow.ledger.tables import links
from tests.support.ledgers import mint


@pytest.mark.parametrize(("limit", "rows"), [(1, 1), (3, 3), (4, 3)])
def test_the_first_rows_are_returned_and_all_are_counted(ledger: Database, limit: int, rows: int) -> None:
    made = [mint(ledger, model_id=f"Model{number:06d}").model_id for number in range(3)]
    with ledger.read() as tx:
        found = listing(tx, select(links.c.model_id).order_by(links.c.seq), lambda row: row.model_id, limit)
    assert (list(found.rows), found.total) == (made[:rows], 3)
