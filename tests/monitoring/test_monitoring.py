"""Each alert fires for what it is about and for nothing else, and the board asks for metrics that there are.

A real Prometheus evaluates the rules, over what Airflow's own StatsD client sends for ledgers in planted states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
from sqlalchemy import update
from statsd import StatsClient

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.read_model.rules import Rules
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import publications
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.lifecycle.slot_watch import watch_slots
from pme_airflow.operators import slot_metrics
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from pme_airflow.shipped_files import shipped
from tests.ledger.read_model.conftest import show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, change, insert_link, ledger_in_memory, task
from tests.support.prometheus import MISSING, check_rules, serving_prometheus
from tests.support.statsd_exporter import Receiver, Sample, receiving, samples

RULES, MAPPING, BOARD = (
    shipped(f"extras/monitoring/{name}")
    for name in ("prometheus-rules.yml", "statsd-mapping.yml", "grafana-board.json")
)
NAMED = re.compile(r"\bairflow_pme_\w+")
HOUR = timedelta(hours=1)
real = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> Database:
    return ledger_in_memory(clock)


@pytest.fixture
def shown(ledger: Database, clock: FakeClock) -> LinkRow:
    """A link in a slot, beside one of another target that is as it should be."""
    show_in(ledger, "#tours", "ModelBBBBBB", "slack:C1")
    return show_in(ledger, "page 1")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as made:
        monkeypatch.setattr(slot_metrics, "Stats", SafeStatsdLogger(StatsClient("127.0.0.1", made.port, "airflow")))
        yield made


def emitted(ledger: Database, receiver: Receiver) -> list[Sample]:
    """What arrives at Prometheus after a run has watched the slots."""
    view = LedgerView("pme_default", CLIENT, ledger, Sealer.of_connection(SecretStr("a secret")), Rules())
    slot_metrics.emit(watch_slots(view, task()), "pme_default")
    return samples(receiver.lines(), MAPPING)


def nothing(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    return


def at_risk(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    change(ledger, link.link_id, minted_at=clock.now() - 14 * HOUR, valid_until=clock.now() + 10 * HOUR)


def about_to_end(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    change(ledger, link.link_id, minted_at=clock.now() - 23.5 * HOUR, valid_until=clock.now() + 0.5 * HOUR)


def ended(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    change(ledger, link.link_id, minted_at=clock.now() - 25 * HOUR, valid_until=clock.now() - HOUR)


def revoked(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    change(ledger, link.link_id, state=State.REVOKED, flagged_at=clock.now(), revoked_at=clock.now())


def unconfirmed(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    with ledger.write() as tx:
        tx.execute(update(publications).where(publications.c.link_id == link.link_id).values(link_seq=0))


def leaked(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    change(ledger, link.link_id, flagged_at=clock.now() - HOUR)


def irrevocable(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    change(ledger, link.link_id, retire_at=clock.now() - HOUR, irrevocable=True)


def lost(ledger: Database, link: LinkRow, clock: FakeClock) -> None:
    for number in range(11):
        insert_link(ledger, f"lnk_{number}", clock.now(), state=State.UNACCOUNTED)


Plant = Callable[[Database, LinkRow, FakeClock], None]
STATES: dict[Plant, set[str]] = {
    nothing: set(),
    at_risk: {"PMESlotsAtRisk"},
    about_to_end: {"PMESlotsAtRisk", "PMESlotsEndWithinAnHour"},
    ended: {"PMESlotsAtRisk", "PMESlotsDark"},
    revoked: {"PMESlotsDark"},
    unconfirmed: {"PMESlotsUnaccounted"},
    leaked: {"PMELeakedLinkAlive"},
    irrevocable: {"PMELinkIrrevocable"},
    lost: {"PMELinksUnaccounted"},
}


def in_virtual_time(found: list[Sample], now: float, alerts: set[str], *, read: str = "+60") -> dict[str, Any]:
    """A test of the rules in which these values last for two hours, during which the slots are read again and again."""
    series = [
        {"series": sample.series, "values": f"0{read}x120" if "read_at" in sample.name else f"{sample.value}+0x120"}
        for sample in found
    ]
    firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(alerts)]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    expected = {"expr": expression, "eval_time": "100m", "exp_samples": firing}
    assert all(sample.value == now for sample in found if "read_at" in sample.name)
    return {"interval": "1m", "input_series": series, "promql_expr_test": [expected]}


@real
@pytest.mark.parametrize("plant", STATES, ids=lambda plant: plant.__name__)
def test_an_alert_fires_for_what_it_is_about_alone(
    plant: Plant, ledger: Database, shown: LinkRow, clock: FakeClock, receiver: Receiver, tmp_path: Path
) -> None:
    plant(ledger, shown, clock)
    now = clock.now().timestamp()
    tests = [in_virtual_time(emitted(ledger, receiver), now, STATES[plant])]
    assert check_rules({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}, tmp_path) == ""


@real
def test_an_alert_fires_when_nobody_reads_the_slots_any_more_or_ever(
    ledger: Database, shown: LinkRow, clock: FakeClock, receiver: Receiver, tmp_path: Path
) -> None:
    found, now = emitted(ledger, receiver), clock.now().timestamp()
    never = [sample for sample in found if "read_at" not in sample.name]
    tests = [in_virtual_time(found, now, {"PMESlotsNotRead"}, read="+0"),
             in_virtual_time(never, now, {"PMESlotsNotRead"})]  # fmt: skip
    assert check_rules({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}, tmp_path) == ""


def test_every_alert_is_tried() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    assert alerts == set().union(*STATES.values()) | {"PMESlotsNotRead"}


@real
def test_a_prometheus_reads_the_rules_and_answers_every_query_of_the_board(
    ledger: Database, shown: LinkRow, clock: FakeClock, receiver: Receiver, tmp_path: Path
) -> None:
    at_risk(ledger, shown, clock)
    counted = [Sample(f"airflow_pme_{name}", (), 1) for name in counters()]
    exposition = "".join(f"{sample.series} {sample.value}\n" for sample in [*emitted(ledger, receiver), *counted])
    with serving_prometheus(tmp_path, RULES, exposition) as server:
        firing = 'ALERTS{alertname="PMESlotsAtRisk", alertstate="firing"}'
        (alert,) = server.wait_for(lambda: server.get("query", query=firing)["result"])
        assert alert["metric"]["audience"] == "intranet"
        rules = server.wait_for(lambda: evaluated(server.get("rules")["groups"]))
        assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
        for panel, query in queries():
            asked = query.replace("$audience", ".*").replace("[1h]", "[5s]")
            found = server.wait_for(lambda asked=asked: server.get("query", query=asked)["result"])
            assert found, f"{panel}: {query}"


def evaluated(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rules = [rule for group in groups for rule in group["rules"]]
    return rules if all(rule["health"] != "unknown" for rule in rules) else []


def queries() -> list[tuple[str, str]]:
    """The board's panels with their queries."""
    panels = json.loads(BOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def counters() -> set[str]:
    return set(re.findall(r"airflow_pme_(\w+)\(_total\)\?", BOARD.read_text()))


def test_board_and_rules_name_only_metrics_that_are_emitted_and_every_gauge(
    ledger: Database, shown: LinkRow, receiver: Receiver
) -> None:
    gauges = {sample.name for sample in emitted(ledger, receiver)}
    sources = [path.read_text() for path in Path(slot_metrics.__file__).parents[1].rglob("*.py")]
    counted = {name for source in sources for name in re.findall(r'\bcount\("(\w+)"', source)}
    assert counters() <= counted
    asked = {name for _, query in queries() for name in NAMED.findall(query)} - {f"airflow_pme_{n}" for n in counters()}
    assert asked == gauges
    assert set(NAMED.findall(RULES.read_text())) <= gauges


def test_each_series_has_its_labels(ledger: Database, shown: LinkRow, receiver: Receiver) -> None:
    found = emitted(ledger, receiver)
    labels = {sample.name: {key for key, _ in sample.labels} for sample in found}
    assert labels.pop("airflow_pme_slots_read_at") == {"conn_id"}
    assert {name for name, keys in labels.items() if keys == {"audience"}} == {
        f"airflow_pme_{name}" for name in slot_metrics.LINK_GAUGES
    }
    assert {name for name, keys in labels.items() if keys == {"audience", "target"}} == {
        f"airflow_pme_{name}" for name in slot_metrics.SLOT_GAUGES
    }
    assert len({sample.series for sample in found}) == len(found)


def test_opentelemetry_has_the_same_names_and_labels(
    ledger: Database, shown: LinkRow, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk._shared.observability.metrics.otel_logger import SafeOtelLogger
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    by_statsd = emitted(ledger, receiver)
    reader = InMemoryMetricReader()
    monkeypatch.setattr(slot_metrics, "Stats", SafeOtelLogger(MeterProvider([reader])))
    monkeypatch.setenv("AIRFLOW__METRICS__OTEL_ON", "True")
    emitted(ledger, receiver)
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [m for resource in data.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
    points = {
        (m.name.replace(".", "_"), tuple(p.attributes.items()), p.value) for m in metrics for p in m.data.data_points
    }
    assert {(name, tuple(key for key, _ in labels)) for name, labels, _ in points} == {
        (sample.name, tuple(key for key, _ in sample.labels)) for sample in by_statsd
    }
    assert ("airflow_pme_slots", (("audience", "intranet"), ("target", "wordpress:intranet")), 1) in points
