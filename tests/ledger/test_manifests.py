"""Lists of models under the name of their content."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain

import pytest
from sqlalchemy import func, select

from pme_airflow.errors import LedgerError
from pme_airflow.ledger import manifests
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import manifests as manifest_table
from tests.support.clocks import FakeClock

DAY = timedelta(days=1).total_seconds()
MANY = [f"M{number:010}" for number in range(1001)]


def keep(ledger: Database, models: list[str], audience: str | None = None) -> str:
    with ledger.write() as tx:
        return manifests.keep(tx, models, audience)


def models_of(ledger: Database, name: str) -> list[str]:
    with ledger.read() as tx:
        return manifests.models_of(tx, name)


@pytest.mark.parametrize(("size", "pages"), [(1, [1]), (500, [500]), (501, [500, 1]), (1001, [500, 500, 1])])
def test_a_list_is_read_as_it_was_kept_in_pages(ledger: Database, size: int, pages: list[int]) -> None:
    name = keep(ledger, MANY[:size], "intranet")
    found = list(manifests.pages(ledger, name))
    assert [len(page) for page in found] == pages
    assert list(chain.from_iterable(found)) == models_of(ledger, name) == MANY[:size]
    assert manifests.audience_of(ledger, name) == "intranet"


def test_a_list_that_is_kept_twice_is_stored_once(ledger: Database) -> None:
    assert keep(ledger, MANY) == keep(ledger, MANY)
    with ledger.read() as tx:
        assert tx.scalar(select(func.count()).select_from(manifest_table)) == 3


def test_lists_of_other_models_orders_and_audiences_have_other_names(ledger: Database) -> None:
    names = [keep(ledger, models, audience) for models in (["a", "b"], ["b", "a"]) for audience in (None, "x", "y")]
    assert len(set(names)) == 6
    assert [manifests.audience_of(ledger, name) for name in names] == [None, "x", "y"] * 2
    assert [models_of(ledger, name) for name in names] == [["a", "b"]] * 3 + [["b", "a"]] * 3


def test_an_unknown_list_is_an_error_that_says_what_to_do(ledger: Database) -> None:
    with pytest.raises(LedgerError, match=r"the reference is not in the ledger.*Clear the task"):
        list(manifests.pages(ledger, "sha256:none"))
    assert manifests.audience_of(ledger, "sha256:none") is None


def test_a_list_is_kept_for_a_week_after_its_last_use(ledger: Database, clock: FakeClock) -> None:
    unused, used = keep(ledger, ["a"]), keep(ledger, MANY)
    clock.advance(6 * DAY)
    keep(ledger, MANY)
    clock.advance(DAY)
    keep(ledger, ["b"])
    assert models_of(ledger, unused) == ["a"]
    clock.advance(1)
    keep(ledger, ["c"])
    assert models_of(ledger, unused) == []
    assert models_of(ledger, used) == MANY


def test_a_list_that_is_used_often_is_touched_once_a_day(ledger: Database, clock: FakeClock) -> None:
    keep(ledger, MANY)
    begun = clock.now()
    for seconds, expected in ((DAY, begun), (1, begun + timedelta(seconds=DAY + 1))):
        clock.advance(seconds)
        keep(ledger, MANY)
        with ledger.read() as tx:
            assert set(tx.scalars(select(manifest_table.c.seen_at))) == {expected}


def test_the_audience_of_a_list_stands_where_other_versions_of_this_package_look_for_it(ledger: Database) -> None:
    keep(ledger, ["a"], "intranet")
    with ledger.read() as tx:
        rows = tx.execute(select(manifest_table.c.page, manifest_table.c.models).order_by(manifest_table.c.page)).all()
    assert [tuple(row) for row in rows] == [(-1, ["intranet"]), (0, ["a"])]
