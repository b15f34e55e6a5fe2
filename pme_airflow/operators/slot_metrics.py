"""Airflow's metrics of slots and links, by audience and target."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pme_airflow.airflow_compat import Stats, conf

if TYPE_CHECKING:
    from pme_airflow.lifecycle.slot_watch import SlotReport

__all__ = ["LINK_GAUGES", "READ_AT", "SLOT_GAUGES", "Gauge", "are_collected", "emit", "gauges_of"]

#: The gauges of each audience at each target.
SLOT_GAUGES = (
    "slots", "slots_dark", "slots_due", "slots_overdue", "slots_unaccounted", "slots_at_risk", "slots_irrevocable",
    "seconds_to_expiry", "seconds_to_renewal", "oldest_flag_seconds",
)  # fmt: skip
#: The gauges of each audience's links, shown or not.
LINK_GAUGES = ("links_flagged", "links_unaccounted", "links_irrevocable", "links_oldest_flag_seconds")
#: The gauge that has the time at which a connection's slots were read, in seconds since 1970.
READ_AT = "slots_read_at"

#: The most characters of an audience or target in a metric's name. Airflow allows 250 for the whole name.
_LONGEST = 80


@dataclass(frozen=True)
class Gauge:
    """One value of a metric ``pme.<name>``, with the labels that distinguish it from others of the same name."""

    name: str
    value: float
    labels: Mapping[str, str]


def are_collected() -> bool:
    """Return whether this Airflow sends its metrics anywhere."""
    switches = ("statsd_on", "statsd_datadog_enabled", "otel_on")
    return any(conf.getboolean("metrics", switch, fallback=False) for switch in switches)


def emit(report: SlotReport, conn_id: str, *, whole: bool = True) -> None:
    """Emit the gauges of a report.

    The labels are tags where Airflow's metrics have tags: with OpenTelemetry, Datadog and InfluxDB. Plain StatsD has
    none, so there they are parts of the name: ``pme.slots_dark.<audience>.<target>``.

    :param whole: whether the report is of all slots of the connection.
    """
    as_tags, any_text = _tags()
    for gauge in gauges_of(report, conn_id, whole=whole):
        labels = dict(gauge.labels) if any_text else {key: _plain(value) for key, value in gauge.labels.items()}
        if as_tags:
            Stats.gauge(f"pme.{gauge.name}", gauge.value, tags=labels)
        else:
            Stats.gauge(".".join(("pme", gauge.name, *labels.values())), gauge.value)


def gauges_of(report: SlotReport, conn_id: str, *, whole: bool = True) -> Iterator[Gauge]:
    """Yield the gauges of a report. Those of links are 0 for an audience that has slots and no such links."""
    for row in report.slots:
        labels = {"audience": row.audience, "target": row.target}
        counts = (row.slots, row.dark, row.due, row.overdue, row.unaccounted, row.at_risk, row.irrevocable)
        lengths = (_until(row.first_end, report.now), _until(row.first_renewal, report.now),
                   _since(row.oldest_flag, report.now))  # fmt: skip
        for name, value in zip(SLOT_GAUGES, (*counts, *lengths), strict=True):
            yield Gauge(name, value, labels)
    if not whole:
        return
    by_audience = {row.audience: row for row in report.links}
    for audience in sorted({*by_audience, *(row.audience for row in report.slots)}):
        found = by_audience.get(audience)
        values = (0, 0, 0, 0.0) if found is None else (
            found.flagged, found.unaccounted, found.irrevocable, _since(found.oldest_flag, report.now))  # fmt: skip
        for name, value in zip(LINK_GAUGES, values, strict=True):
            yield Gauge(name, value, {"audience": audience})
    yield Gauge(READ_AT, report.now.timestamp(), {"conn_id": conn_id})


def _until(timestamp: datetime | None, now: datetime) -> float:
    return 0.0 if timestamp is None else max(0.0, (timestamp - now).total_seconds())


def _since(timestamp: datetime | None, now: datetime) -> float:
    return 0.0 if timestamp is None else max(0.0, (now - timestamp).total_seconds())


def _tags() -> tuple[bool, bool]:
    """Return whether Airflow's metrics have tags, and whether a tag may be any text.

    Datadog's and InfluxDB's formats give a colon or a comma in a tag another meaning. The order is Airflow's own.
    """
    if conf.getboolean("metrics", "statsd_datadog_enabled", fallback=False):
        return conf.getboolean("metrics", "statsd_datadog_metrics_tags", fallback=True), False
    if conf.getboolean("metrics", "statsd_on", fallback=False):
        return conf.getboolean("metrics", "statsd_influxdb_enabled", fallback=False), False
    otel = conf.getboolean("metrics", "otel_on", fallback=False)
    return otel, otel


def _plain(text: str) -> str:
    """Return a text as part of a metric's name; two texts never share one.

    What a name cannot hold becomes underscores, and a digest is appended then.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:_LONGEST]
    return plain if plain == text else f"{plain}_{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:6]}"
