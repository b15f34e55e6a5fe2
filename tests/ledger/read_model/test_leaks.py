from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.ledger import flags, revocations
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.read_model.leaks import Exposure, ExposureTimes, LeakReport, leak_report, shown_counts
from pme_airflow.ledger.tables import links
from tests.ledger.read_model.conftest import Show
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, OTHER, begin_mint, change, insert_link, mint, task

MINUTE = timedelta(minutes=1)


def report(ledger: Database, **limit: int) -> LeakReport:
    with ledger.read() as tx:
        return leak_report(tx, CLIENT, **limit)


def flag(ledger: Database, *fingerprints: str | None) -> None:
    with ledger.write(task()) as tx:
        flags.flag(tx, "on a forum", fingerprints=[f for f in fingerprints if f])


def revoke(ledger: Database, row: LinkRow) -> None:
    with ledger.write(task()) as tx:
        assert revocations.revoked(tx, [row], {})


def test_exposure_ends_with_the_confirmed_revocation(ledger: Database, show: Show, clock: FakeClock) -> None:
    rows = [show(f"page {number}", f"Model{number:06d}") for number in range(3)]
    flag(ledger, *(row.fingerprint for row in rows))
    for row in rows[:2]:
        clock.advance(10)
        revoke(ledger, row)
    clock.advance(80)
    found = report(ledger)
    assert [row.link_id for row in found.flagged.rows] == [rows[2].link_id]
    assert [row.link_id for row in found.revoked.rows] == [rows[1].link_id, rows[0].link_id]
    assert found.exposure_times.summary() == Exposure(revoked=2, median=10.0, percentile_95=20.0, worst=100.0)
    with ledger.read() as tx:
        assert shown_counts(tx, [rows[2].link_id, "lnk_none"]) == {rows[2].link_id: 1}


def test_exposure_of_more_than_30_days_ago_is_left_out(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    flag(ledger, row.fingerprint)
    revoke(ledger, row)
    clock.advance(timedelta(days=31).total_seconds())
    assert report(ledger).exposure_times.summary() == Exposure(0, None, None, None)
    assert report(ledger).revoked.total == 0


@pytest.mark.parametrize(
    ("ended", "median", "late"), [([], None, None), ([1.0], 1.0, 1.0), ([float(n) for n in range(1, 101)], 50.0, 95.0)]
)
def test_percentiles_are_values_that_were_measured(ended: list[float], median: float, late: float) -> None:
    exposure = ExposureTimes(tuple(ended)).summary()
    assert (exposure.median, exposure.percentile_95, exposure.worst) == (median, late, max(ended, default=None))


def test_a_replaced_link_is_no_leak(ledger: Database) -> None:
    row = mint(ledger)
    revoke(ledger, row)
    assert report(ledger).revoked.total == 0


def test_tombstones_irrevocable_and_unaccounted_links_are_listed(ledger: Database, clock: FakeClock) -> None:
    unknown = f"sha256:{7:064x}"
    flag(ledger, unknown)
    never, lost, ended = mint(ledger), begin_mint(ledger), begin_mint(ledger, model_id="ModelEnded0")
    change(ledger, never.link_id, irrevocable=True)
    change(ledger, lost.link_id, state="unaccounted")
    change(ledger, ended.link_id, state="unaccounted", valid_until=clock.now())
    found = report(ledger)
    assert [row.fingerprint for row in found.tombstones.rows] == [unknown]
    assert found.tombstones.rows[0].hit_at is None
    assert [row.link_id for row in found.irrevocable.rows] == [never.link_id]
    assert [row.link_id for row in found.unaccounted.rows] == [lost.link_id]


def test_another_clients_leaks_are_not_shown(ledger: Database) -> None:
    row = mint(ledger)
    flag(ledger, row.fingerprint)
    with ledger.read() as tx:
        found = leak_report(tx, OTHER)
    assert (found.flagged.total, found.exposure_times.summary().worst) == (0, None)


def test_a_long_list_is_cut_and_counted(ledger: Database) -> None:
    rows = [mint(ledger, model_id=f"Model{number:06d}") for number in range(5)]
    flag(ledger, *(row.fingerprint for row in rows))
    alive = report(ledger, limit=2).flagged
    assert (len(alive.rows), alive.total) == (2, 5)


def test_a_revocation_of_30_days_ago_is_still_shown_and_exposure_is_never_negative(
    ledger: Database, clock: FakeClock
) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, flagged_at=clock.now() + MINUTE, state="revoked", revoked_at=clock.now())
    clock.advance(30 * 86400)
    assert report(ledger).exposure_times.ended == (0.0,)
    assert report(ledger).revoked.total == 1


def test_each_list_has_its_order_and_ended_links_are_not_irrevocable(ledger: Database, clock: FakeClock) -> None:
    now = clock.now()
    for number, minutes in enumerate((2, 3, 1)):
        end = now + minutes * MINUTE
        insert_link(ledger, f"lost {minutes}", now, state="unaccounted", valid_until=end)
        insert_link(ledger, f"never {minutes}", now, state="live", irrevocable=True, valid_until=end)
        insert_link(ledger, f"leaked {minutes}", now, state="live", flagged_at=now - minutes * MINUTE)
        insert_link(ledger, f"ended {minutes}", now, state="expired", irrevocable=True)
        for name in "ba":
            with ledger.write(task()) as tx:
                flags.flag(tx, "on a forum", fingerprints=[f"sha256:{number}{name}"])
        clock.advance(1)
    found = report(ledger)
    assert [row.link_id for row in found.unaccounted.rows] == ["lost 3", "lost 2", "lost 1"]
    assert [row.link_id for row in found.irrevocable.rows] == ["never 3", "never 2", "never 1"]
    assert [row.link_id for row in found.flagged.rows] == ["leaked 3", "leaked 2", "leaked 1"]
    assert [stone.fingerprint for stone in found.tombstones.rows] == [
        f"sha256:{number}{name}" for number in (2, 1, 0) for name in "ab"
    ]


def test_200_links_of_a_list_are_returned_unless_another_limit_is_given(ledger: Database, clock: FakeClock) -> None:
    row = {"client_id": CLIENT, "model_id": "m", "audience": "a", "state": "live", "run": "r", "run_uid": "u",
           "valid_for": 60, "requested_at": clock.now(), "valid_until": clock.now() + MINUTE, "revoke_attempts": 0,
           "irrevocable": False, "flagged_at": clock.now()}  # fmt: skip
    with ledger.write() as tx:
        insert_rows(tx, links, {"link_id": [f"lnk_{number}" for number in range(201)]}, row)
    found = report(ledger).flagged
    assert (len(found.rows), found.total) == (200, 201)
