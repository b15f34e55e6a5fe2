"""Look at every slot: the figures for monitoring, and a warning, once, of slots that nobody renews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.iso_times import parse_iso
from pme_airflow.ledger.read_model.at_risk import SlotAtRisk, slots_at_risk
from pme_airflow.ledger.read_model.gauges import LinkGauges, SlotGauges, link_gauges, slot_gauges
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.slot_warnings import record_warnings
from pme_airflow.ledger.transaction import ReadTransaction
from pme_airflow.lifecycle.overview import LedgerView, json_of

__all__ = ["Forecast", "SlotReport", "SlotWarning", "forecast_of", "foresee", "read_target", "watch_slots"]

#: How many slots a warning names.
_MOST_NAMED = 20


@dataclass(frozen=True)
class SlotWarning:
    """What is wrong with the slots of one audience.

    :param slots: how many of them are at risk and were not warned of before.
    :param first_end: when the first of them is dark.
    :param named: the first 20 of them, as JSON.
    """

    audience: str
    message: str
    slots: int
    first_end: datetime
    named: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as the extra of an asset event; without a link or token."""
        return {
            "audience": self.audience,
            "message": self.message,
            "slots": self.slots,
            "first_end": json_of(self.first_end),
            "at_risk": list(self.named),
        }


@dataclass(frozen=True)
class Forecast:
    """When an audience is at risk unless its links are renewed, as far as a run knows that read the ledger.

    :param warned: whether a run has warned of it since.
    """

    audience: str
    at_risk_at: datetime
    first_end: datetime
    warned: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, for the next run."""
        names = ("audience", "at_risk_at", "first_end", "warned")
        return {name: json_of(getattr(self, name)) for name in names}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Forecast:
        """Read what :meth:`as_json` returned."""
        at_risk_at, first_end = (parse_iso(value[name]) for name in ("at_risk_at", "first_end"))
        return cls(value["audience"], at_risk_at, first_end, bool(value["warned"]))


@dataclass(frozen=True)
class SlotReport:
    """What a look at a client's slots found."""

    now: datetime
    slots: tuple[SlotGauges, ...] = ()
    links: tuple[LinkGauges, ...] = ()
    warnings: tuple[SlotWarning, ...] = ()


def watch_slots(view: LedgerView, run_context: RunContext) -> SlotReport:
    """Read the figures of a client's slots, and warn of those that no run has warned of with the same link.

    It writes only when there is something to warn of. Another attempt of the same run warns again.
    """
    with view.database.read() as tx:
        report = _read(tx, view)
    if not any(gauges.at_risk for gauges in report.slots):
        return report
    found = view.database.run(run_context, lambda tx: _record(tx, view, run_context))
    return SlotReport(report.now, report.slots, report.links, tuple(_warnings(found, report.now)))


def read_target(view: LedgerView, target: str) -> SlotReport:
    """Read the figures of the slots of one target."""
    with view.database.read() as tx:
        return SlotReport(tx.now(), tuple(slot_gauges(tx, view.client_id, view.rules, target)))


def _read(tx: ReadTransaction, view: LedgerView) -> SlotReport:
    slots = slot_gauges(tx, view.client_id, view.rules)
    return SlotReport(tx.now(), tuple(slots), tuple(link_gauges(tx, view.client_id)))


def _record(tx: Any, view: LedgerView, run_context: RunContext) -> list[SlotAtRisk]:
    found = slots_at_risk(tx, view.client_id, view.rules, run_context.run)
    record_warnings(tx, view.client_id, found)
    return found


def _warnings(found: Sequence[SlotAtRisk], now: datetime) -> list[SlotWarning]:
    by_audience = sorted(found, key=lambda slot: slot.audience)  # stable: the soonest end stays first
    return [_warning(name, list(slots), now) for name, slots in groupby(by_audience, key=lambda slot: slot.audience)]


def _warning(audience: str, slots: Sequence[SlotAtRisk], now: datetime) -> SlotWarning:
    first = slots[0].valid_until
    unshown = sum(slot.newer_link for slot in slots)
    ends = "has been dark since" if first <= now else "goes dark at"
    causes = []
    if unshown:
        causes.append(f"{unshown} with a newer link that the target does not show (see the transfers' logs)")
    if unshown < len(slots):
        causes.append(f"{len(slots) - unshown} without a newer link (see the mint tasks' logs)")
    message = (
        f"Audience {audience}: slots nearer to their end than the plan allows: {' and '.join(causes)}. The first one "
        f"{ends} {first:%Y-%m-%d %H:%M} UTC. Is pme_link_keeper paused or failing?"
    )
    return SlotWarning(audience, message, len(slots), first, tuple(map(_named, slots[:_MOST_NAMED])))


def _named(slot: SlotAtRisk) -> dict[str, Any]:
    names = ("target", "slot", "model_id", "link_id", "renews_at", "valid_until", "newer_link")
    return {name: json_of(getattr(slot, name)) for name in names}


def forecast_of(report: SlotReport) -> list[Forecast]:
    """Return when each audience is at risk unless its links are renewed."""
    found = []
    for audience, gauges in groupby(report.slots, key=lambda row: row.audience):
        known = [row for row in gauges if row.first_at_risk is not None and row.first_end is not None]
        at_risk = [row.first_at_risk for row in known if row.first_at_risk is not None]
        ends = [row.first_end for row in known if row.first_end is not None]
        if at_risk:
            found.append(Forecast(audience, min(at_risk), min(ends), warned=any(row.at_risk for row in known)))
    return found


def foresee(
    forecasts: Sequence[Forecast], now: datetime, problem: LedgerUnavailableError
) -> tuple[list[SlotWarning], list[Forecast]]:
    """Warn of audiences whose slots are at risk by now, although the ledger cannot be read.

    :param forecasts: what the last run that read the ledger expected.
    :return: the warnings, and the forecasts for the next run.
    """
    due = [forecast for forecast in forecasts if forecast.at_risk_at <= now and not forecast.warned]
    warnings = [
        SlotWarning(
            forecast.audience,
            f"The ledger cannot be read, so no link of audience {forecast.audience} is renewed; the first slot goes "
            f"dark at {forecast.first_end:%Y-%m-%d %H:%M} UTC or earlier. {problem}",
            0,
            forecast.first_end,
        )
        for forecast in due
    ]
    kept = [Forecast(f.audience, f.at_risk_at, f.first_end, f.warned or f in due) for f in forecasts]
    return warnings, kept
