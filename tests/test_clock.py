from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pme_airflow.clock import ServerClock, SystemClock
from pme_airflow.http_dates import parse_http_date
from tests.support.clocks import FakeClock

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def test_the_servers_time_is_its_last_date_counted_on() -> None:
    clock = FakeClock(lead=timedelta(minutes=-10))
    server = ServerClock(clock)
    assert server.observe("Fri, 01 May 2026 13:00:00 GMT") == NOON + timedelta(hours=1)
    clock.advance(90)
    assert server.now() == NOON + timedelta(hours=1, seconds=90)
    server.observe("Fri, 01 May 2026 14:00:00 GMT")
    assert server.now() == NOON + timedelta(hours=2)
    clock.advance(7200)
    server.observe("Fri, 01 May 2026 15:00:00 GMT")
    assert server.now() == NOON + timedelta(hours=3)


@pytest.mark.parametrize("wrong", ["Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 31 Dec 2099 23:59:59 GMT",
                                   "Fri, 01 May 2026 13:00:06 GMT", "Fri, 01 May 2026 11:00:04 GMT"])  # fmt: skip
def test_one_date_that_jumps_by_more_than_an_hour_is_not_believed_and_a_second_confirms_it(wrong: str) -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    server.observe("Fri, 01 May 2026 12:00:00 GMT")
    clock.advance(5)
    for date in (wrong, "Fri, 01 May 2026 12:00:05 GMT", wrong):
        server.observe(date)
        assert server.now() == NOON + timedelta(seconds=5)
    server.observe(wrong)
    assert server.now() == parse_http_date(wrong)


def test_dates_that_disagree_with_each_other_confirm_nothing() -> None:
    server = ServerClock(FakeClock())
    server.observe("Fri, 01 May 2026 12:00:00 GMT")
    for year in (1970, 2099, 1971, 2098):
        server.observe(f"Thu, 01 Jan {year} 00:00:00 GMT")
        assert server.now() == NOON


def test_until_a_date_is_read_the_servers_time_is_the_workers_and_unknown() -> None:
    server = ServerClock(FakeClock(lead=timedelta(minutes=7)))
    assert server.observe(None) is None
    assert server.observe("yesterday") is None
    assert not server.known
    assert server.now() == NOON + timedelta(minutes=7)
    server.observe("Fri, 01 May 2026 12:00:00 GMT")
    assert server.known


def test_an_unreadable_date_does_not_replace_a_read_one() -> None:
    clock = FakeClock(lead=timedelta(hours=3))
    server = ServerClock(clock)
    server.observe("Fri, 01 May 2026 12:00:00 GMT")
    clock.advance(5)
    server.observe("soon")
    assert server.now() == NOON + timedelta(seconds=5)


def test_the_system_clock_is_in_utc_and_runs_forward() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is timezone.utc
    assert abs((clock.now() - datetime.now(timezone.utc)).total_seconds()) < 60
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before == pytest.approx(0.01, abs=5)
    assert clock.monotonic() - before >= 0.01
