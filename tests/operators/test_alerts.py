"""Alarms reach every listener, once, with all that a person must look at."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.ledger.exposed import FlaggedAlive
from pme_airflow.lifecycle.sweep import SweepResult
from pme_airflow.operators import alerts
from pme_airflow.operators.pme import PMERevocationSweepOperator
from tests.support.tasks import FakeTask, listener

UNTIL = datetime(2026, 11, 27, 3, 4, tzinfo=timezone.utc)


@pytest.fixture
def operator() -> PMERevocationSweepOperator:
    return PMERevocationSweepOperator(task_id="sweep")


def swept(**fields: Any) -> SweepResult:
    return SweepResult(client_id="own", **fields)


def test_airflows_slack_notifier_takes_alarms(operator: PMERevocationSweepOperator) -> None:
    from airflow.providers.slack.notifications.slack import SlackNotifier

    sent: list[str] = []

    class Recorder(SlackNotifier):
        def notify(self, context: Any) -> None:
            sent.append(self.text)

    recorder = Recorder(text="{{ alarms | join(' ') }}", channel="#alarms")
    alerts.raise_alarms(operator, {}, ["one", "two"], recorder)
    assert sent == ["one two"]


def test_a_listener_that_fails_stops_no_other(operator: PMERevocationSweepOperator, metrics: dict[str, float]) -> None:
    listen = listener()

    def broken(_: Any) -> None:
        raise RuntimeError("hunter2")

    alerts.raise_alarms(operator, {"ti": 1}, ["one", "two"], [broken, listen])
    assert listen.heard == [["one", "two"]]
    assert metrics == {"pme.alarms": 2}
    alerts.raise_alarms(operator, {}, [], [listen])
    alerts.raise_alarms(operator, {}, ["x"], None)
    assert listen.heard == [["one", "two"]]


def test_a_sweep_alarms_what_is_irrevocable_unopened_hit_pending_or_another_clients() -> None:
    row = SimpleNamespace(link_id="lnk_1", named_models="model m1", valid_until=UNTIL)
    result = swept(tombstones=["sha256:t"], alive=(FlaggedAlive("own", 3, 1, UNTIL), FlaggedAlive("b", 2, 0, UNTIL)))
    result.irrevocable.append(row)  # type: ignore[arg-type]
    result.unopened.append(SimpleNamespace(link_id="lnk_2", named_models="model m2", valid_until=UNTIL))  # type: ignore[arg-type]
    assert alerts.sweep_alarms(result) == [
        "Link lnk_1 of model m1 is irrevocable; it ends at 2026-11-27 03:04 UTC.",
        "Link lnk_2 of model m2 cannot be opened with the connection's keys, so it is not revoked.",
        "Tombstone hit: sha256:t was flagged before it was minted.",
        "2 flagged links are NOT revoked yet; the next sweep tries again.",
        "2 flagged links of client b are NOT revoked and may live until 2026-11-27 03:04 UTC. Only a connection with "
        "the client id b can revoke them, and none was found here. Run `pme-airflow sweep --conn-id …` with the "
        "connection that has it.",
    ]
    assert alerts.sweep_alarms(swept()) == []


@pytest.mark.parametrize(("limit", "late"), [("9s", 1), ("10s", 0), ("PT9S", 1), (None, 0), ("", 0)])
def test_an_exposure_is_late_over_the_limit_alone(limit: str | None, late: int) -> None:
    assert len(alerts.late_alarms(swept(exposure_seconds={"sha256:x": 10.0}), limit)) == late


def test_a_bad_limit_is_an_error_after_the_other_alarms(operator: PMERevocationSweepOperator) -> None:
    listen = listener()
    result = swept(tombstones=["sha256:t"])
    with pytest.raises(PMEInputError, match="max_exposure"):
        alerts.report_sweep(operator, {}, result, "soon", listen)
    assert len(listen.heard) == 1


def test_metrics_count_all_of_a_long_list(
    operator: PMERevocationSweepOperator, metrics: dict[str, float], task: FakeTask
) -> None:
    result = swept(expired=4, exposure_seconds={"a": 1.5, "b": 0.5}, alive=(FlaggedAlive("own", 3, 1, UNTIL),),
                   retirement_delays=[0.25, 3.0])  # fmt: skip
    for number in range(1005):
        result.revoked.append(SimpleNamespace(link_id=number))  # type: ignore[arg-type]
    alerts.emit_metrics(result)
    assert metrics == {"pme.revoked": 1005, "pme.expired": 4, "pme.flagged_pending": 2, "pme.exposure": 2000.0,
                       "pme.retirement_delay": 3250.0}  # fmt: skip


def test_a_response_without_a_sweep_alarms_nothing() -> None:
    assert alerts.response_alarms(SimpleNamespace(swept=False)) == []  # type: ignore[arg-type]
