"""Gauges have labels where Airflow's metrics have tags, and names of their own where they have none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pme_airflow.ledger.read_model.gauges import LinkGauges, SlotGauges
from pme_airflow.lifecycle.slot_watch import SlotReport
from pme_airflow.operators import slot_metrics
from pme_airflow.operators.slot_metrics import LINK_GAUGES, READ_AT, SLOT_GAUGES, emit, gauges_of

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
SLOTS = SlotGauges("intranet", "wordpress:https://a.test", 9, 1, 2, 3, 4, 5, 6, NOW - HOUR, NOW + HOUR, NOW - HOUR, NOW)
REPORT = SlotReport(NOW, (SLOTS,), (LinkGauges("viewers", 1, 2, 3, NOW - HOUR),))


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, Mapping[str, str] | None]]:
    found: list[tuple[str, float, Mapping[str, str] | None]] = []

    def gauge(name: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        found.append((name, value, tags))

    monkeypatch.setattr(slot_metrics.Stats, "gauge", gauge)
    return found


def configure(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", value)


def test_every_gauge_has_its_value() -> None:
    values = {(gauge.name, *gauge.labels.values()): gauge.value for gauge in gauges_of(REPORT, "pme_default")}
    slots = [values[name, "intranet", "wordpress:https://a.test"] for name in SLOT_GAUGES]
    assert slots == [9, 1, 2, 3, 4, 5, 6, 3600, 0, 3600]
    assert [values[name, "viewers"] for name in LINK_GAUGES] == [1, 2, 3, 3600]
    assert [values[name, "intranet"] for name in LINK_GAUGES] == [0, 0, 0, 0]
    assert values[READ_AT, "pme_default"] == NOW.timestamp()
    assert len(values) == len(SLOT_GAUGES) + 2 * len(LINK_GAUGES) + 1


@pytest.mark.parametrize(
    ("options", "name", "target"),
    [
        ({}, "pme.slots_dark.intranet.wordpress_https___a_test_", None),
        ({"statsd_on": "True"}, "pme.slots_dark.intranet.wordpress_https___a_test_", None),
        ({"statsd_on": "True", "statsd_influxdb_enabled": "True"}, "pme.slots_dark", "wordpress_https___a_test_"),
        ({"statsd_datadog_enabled": "True"}, "pme.slots_dark", "wordpress_https___a_test_"),
        ({"otel_on": "True"}, "pme.slots_dark", "wordpress:https://a.test"),
        ({"statsd_on": "True", "otel_on": "True"}, "pme.slots_dark.intranet.wordpress_https___a_test_", None),
    ],
)
def test_labels_are_tags_where_there_are_tags(
    monkeypatch: pytest.MonkeyPatch, emitted: list[Any], options: dict[str, str], name: str, target: str | None
) -> None:
    configure(monkeypatch, **options)
    emit(REPORT, "pme_default")
    (found,) = [gauge for gauge in emitted if gauge[0].startswith("pme.slots_dark")]
    assert found[0].startswith(name)
    assert found[1] == 1
    assert (found[2] is None) if target is None else found[2]["target"].startswith(target)


def test_two_targets_never_share_a_name_and_none_is_too_long(emitted: list[Any]) -> None:
    targets = ["a:b", "a/b", "a_b", "x" * 700, "x" * 699, "ü"]
    rows = tuple(SlotGauges("a" * 100, target, *[0] * 7, None, None, None, None) for target in targets)
    emit(SlotReport(NOW, rows), "pme_default", whole=False)
    names = [name for name, _, _ in emitted]
    assert len(set(names)) == len(names) == len(targets) * len(SLOT_GAUGES)
    assert max(map(len, names)) <= 250 - len("airflow.")
    assert all(name.isascii() and name.count(".") == 3 for name in names)
