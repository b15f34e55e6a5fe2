"""A watch warns of slots that nobody renews, says what to look at, and warns by its forecast without a ledger."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.rules import Rules
from pme_airflow.ledger.tables import links, publications
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.lifecycle.slot_watch import Forecast, SlotReport, forecast_of, foresee, read_target, watch_slots
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.ledger.read_model.conftest import TARGET, show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, change, events_of, ledger_in_memory, mint, task


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> Database:
    return ledger_in_memory(clock)


@pytest.fixture
def view(ledger: Database) -> LedgerView:
    return LedgerView("pme_default", CLIENT, ledger, Sealer.of_connection(SecretStr("a secret")), Rules())


def test_a_quiet_watch_writes_nothing(ledger: Database, view: LedgerView) -> None:
    show_in(ledger, "page 1")
    with events_of(ledger) as events:
        report = watch_slots(view, task())
    assert (report.warnings, events, len(report.slots)) == ((), [], 1)
    assert read_target(view, TARGET).slots == report.slots
    assert read_target(view, "elsewhere").slots == ()


def test_a_warning_says_where_to_look_and_when_the_first_slot_is_dark(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    for number in range(25):
        show_in(ledger, f"page {number}", f"Model{number:06d}")
    clock.advance(14 * 3600)
    mint(ledger, model_id="Model000003")
    (warning,) = watch_slots(view, task("noon")).warnings
    assert warning.message == (
        "Audience intranet: slots nearer to their end than the plan allows: 1 with a newer link that the target does "
        "not show (see the transfers' logs) and 24 without a newer link (see the mint tasks' logs). The first one goes "
        "dark at 2026-05-02 12:00 UTC. Is pme_link_keeper paused or failing?"
    )
    extra = json.loads(json.dumps(warning.as_json()))
    assert (extra["audience"], extra["slots"], extra["first_end"]) == (AUDIENCE, 25, "2026-05-02T12:00:00Z")
    assert len(extra["at_risk"]) == 20
    assert set(extra["at_risk"][0]) == {
        "target", "slot", "model_id", "link_id", "renews_at", "valid_until", "newer_link"
    }  # fmt: skip
    assert watch_slots(view, task("later")).warnings == ()


def test_a_warning_that_comes_late_says_since_when_the_slot_is_dark(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    show_in(ledger, "page 1")
    clock.advance(25 * 3600)
    (warning,) = watch_slots(view, task()).warnings
    assert "The first one has been dark since 2026-05-02 12:00 UTC." in warning.message


def test_without_a_ledger_a_watch_warns_once_by_what_the_last_one_expected(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    show_in(ledger, "page 1")
    (forecast,) = forecast_of(watch_slots(view, task()))
    assert forecast.at_risk_at == clock.now() + timedelta(hours=12, minutes=65)
    assert Forecast.of_json(json.loads(json.dumps(forecast.as_json()))) == forecast
    problem = LedgerUnavailableError("The ledger cannot be reached.")
    assert foresee([forecast], clock.now(), problem) == ([], [forecast])
    clock.advance(14 * 3600)
    (warning,), kept = foresee([forecast], clock.now(), problem)
    assert "The ledger cannot be read, so no link of audience intranet is renewed" in warning.message
    assert warning.first_end == forecast.first_end
    assert foresee(kept, clock.now(), problem)[0] == []


def test_each_audience_is_warned_of_with_what_is_the_case_there(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    portal = show_in(ledger, "page 1", target="b")
    show_in(ledger, "page 2", "ModelBBBBBB", target="a")
    with ledger.write() as tx:
        for table in (publications, links):
            tx.execute(table.update().where(table.c.link_id == portal.link_id).values(audience="a portal"))
    clock.advance(24 * 3600)
    show_in(ledger, "page 3", "ModelCCCCCC", target="c")
    mint(ledger, model_id="ModelBBBBBB")
    alone, newer = watch_slots(view, task("noon")).warnings
    assert (alone.audience, alone.slots, alone.first_end) == ("a portal", 1, clock.now())
    assert (
        "allows: 1 without a newer link (see the mint tasks' logs). The first one has been dark since" in alone.message
    )
    assert (newer.audience, newer.slots) == (AUDIENCE, 1)
    assert "does not show (see the transfers' logs). The first one" in newer.message


def test_a_forecast_is_of_the_first_slot_of_an_audience_that_is_not_dark(
    ledger: Database, view: LedgerView, clock: FakeClock
) -> None:
    first = show_in(ledger, "page 1", target="a")
    clock.advance(3600)
    show_in(ledger, "page 2", "ModelBBBBBB", target="b")
    dark = show_in(ledger, "page 3", "ModelCCCCCC", target="c")
    change(ledger, dark.link_id, valid_until=clock.now())
    other = show_in(ledger, "page 4", "ModelDDDDDD", target="d")
    with ledger.write() as tx:
        tx.execute(publications.update().where(publications.c.link_id == other.link_id).values(audience="portal"))
    change(ledger, other.link_id, valid_until=clock.now())
    (forecast,) = forecast_of(read_of(view))
    assert (forecast.audience, forecast.first_end) == (AUDIENCE, first.valid_until)
    assert forecast.at_risk_at == first.valid_until - timedelta(hours=12) + timedelta(minutes=65)
    assert not forecast.warned
    clock.advance(13 * 3600)
    assert [forecast.warned for forecast in forecast_of(read_of(view))] == [True]


def read_of(view: LedgerView) -> SlotReport:
    return watch_slots(view, task("a look"))


def test_a_forecast_is_due_at_its_time_and_says_so_once(clock: FakeClock) -> None:
    now, later = clock.now(), clock.now() + timedelta(seconds=1)
    due, to_come, warned = (
        Forecast("a", now, later), Forecast("b", later, later), Forecast("c", now, later, warned=True)
    )  # fmt: skip
    warnings, kept = foresee([due, to_come, warned], now, LedgerUnavailableError("away"))
    assert [(warning.audience, warning.slots, warning.named) for warning in warnings] == [("a", 0, ())]
    assert kept == [Forecast("a", now, later, warned=True), to_come, warned]
