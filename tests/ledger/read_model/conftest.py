"""A ledger in memory whose slots show links."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pme_airflow.ledger import publications
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.publications import Shown
from tests.support.ledgers import DEMAND, MODEL, mint, task

TARGET = "wordpress:intranet"
Show = Callable[..., LinkRow]


def show_in(database: Database, slot: str, model_id: str = MODEL, target: str = TARGET, run: str = "monday") -> LinkRow:
    """Mint a link and record that a slot shows it."""
    row = mint(database, DEMAND, model_id)
    with database.write(task(run, "publish", dag="pme_nightly_rotation")) as tx:
        assert publications.publish(tx, target, [Shown(slot, row.link_id, {})], claimed=False) == {}
    return row


@pytest.fixture
def show(ledger: Database) -> Show:
    def shown(slot: str, model_id: str = MODEL, target: str = TARGET, run: str = "monday") -> LinkRow:
        return show_in(ledger, slot, model_id, target, run)

    return shown
