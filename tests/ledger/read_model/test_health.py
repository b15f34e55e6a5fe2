from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.health import Overdue, overdue, sealed_with
from pme_airflow.sealing import OpenedLink, Sealer, key_ids_of
from pme_airflow.secrets import AccessToken, SecretStr
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, OTHER, change, ledger_at, mint

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("kind", "column", "minutes", "values"),
    [
        ("leaks", "flagged_at", 5, {}),
        ("retirements", "retire_at", 45, {}),
        ("ends", "valid_until", 45, {}),
        ("ends", "valid_until", 45, {"state": "unaccounted"}),
        ("mints", "requested_at", 45, {"state": "minting"}),
    ],
)
def test_work_is_overdue_some_time_after_it_was_to_be_done(
    ledger: Database, clock: FakeClock, kind: str, column: str, minutes: int, values: dict[str, Any]
) -> None:
    row = mint(ledger)
    due = clock.now()
    change(ledger, row.link_id, **{column: due}, **values)
    clock.advance(minutes * 60)
    with ledger.read() as tx:
        assert overdue(tx, CLIENT) == []
    clock.advance(1)
    with ledger.read() as tx:
        (late,) = overdue(tx, CLIENT)
        assert overdue(tx, OTHER) == []
    assert (late.kind, late.count, late.since) == (kind, 1, due)


def test_work_is_counted_and_a_flagged_link_is_no_retirement(ledger: Database, clock: FakeClock) -> None:
    begun = clock.now()
    for number, values in enumerate([{}, {}, {"flagged_at": begun}]):
        row = mint(ledger, model_id=f"Model{number:06d}")
        change(ledger, row.link_id, retire_at=begun + number * MINUTE, **values)
    clock.advance(3600)
    with ledger.read() as tx:
        assert overdue(tx, CLIENT) == [Overdue("leaks", 1, begun), Overdue("retirements", 2, begun)]


def test_links_are_counted_by_the_keys_that_open_them(ledger_address: str) -> None:
    ledger = ledger_at(ledger_address)
    secret, key = SecretStr("the client secret"), SecretStr("a seal key of some length")
    one, two = Sealer.of_connection(secret), Sealer.of_connection(secret, [key])
    opened = OpenedLink(SecretStr("https://x.test/"), AccessToken("t0ken" * 5))
    for number, sealer in enumerate((one, two, two)):
        row = mint(ledger, model_id=f"Model{number:06d}")
        change(ledger, row.link_id, sealed=sealer.seal(opened, row.link_id, row.model_id))
    ended = mint(ledger, model_id="Model000003")
    change(ledger, ended.link_id, sealed=one.seal(opened, ended.link_id, ended.model_id), state="expired")
    unsealed = mint(ledger, model_id="Model000004")
    change(ledger, unsealed.link_id, sealed=None)
    with ledger.read() as tx:
        groups = sealed_with(tx, CLIENT)
        assert sealed_with(tx, OTHER) == []
    assert sorted(group.links for group in groups) == [1, 2]
    assert all(one.knows(group.sealed) for group in groups)
    assert {tuple(map(len, key_ids_of(group.sealed))) for group in groups} == {(8,), (8, 8)}
    other = Sealer.of_connection(SecretStr("another secret"), [key])
    assert sorted(group.links for group in groups if other.knows(group.sealed)) == [2]
