"""A fortnight in virtual time: the real ledger and the real work, with outages, killed workers and clocks that are off.

``make simulate`` runs it, prints what came of it, and writes the page and chart of the docs.
"""

from __future__ import annotations

import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from pme_airflow.api.client import ClientSettings, limiter_of
from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, NotRevoked, Revoked, RevokeVerdict, Unknown
from pme_airflow.clock import ServerClock
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.durations import Validity
from pme_airflow.errors import LedgerUnavailableError, PMEUnavailableError, SlotError
from pme_airflow.hooks.ledger_views import rules_of
from pme_airflow.ledger import audit, mint_requests, mint_runs
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.mint_requests import Demand, PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_watch import Forecast, forecast_of, foresee, watch_slots
from pme_airflow.sealing import Sealer, fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import ShownLink
from tests.support.clocks import FakeClock
from tests.support.rooms import CLIENT, Shelf, rows, sweep
from tests.support.schedules import shipped_schedules

DAY = 86_400.0
#: What the simulated installation shows, for the schedules and the renewal rules that follow from it.
PLACEMENTS = """
audience: intranet
valid_for: 24h
models: [yyHDFKzPzvN]
targets: [{kind: object_storage, path: "file:///srv/embeds"}]
"""
#: Monitoring warns when the slots were not read for so long: the rule PMESlotsNotRead.
STALE = 45 * 60.0
LOST_RATE, DENIED_RATE, KILL_RATE = 0.01, 0.01, 0.01
HERE = Path(__file__).resolve().parents[2] / "docs"


@dataclass(frozen=True)
class Outage:
    """Something is away for a while: ``api``, ``airflow``, ``database``, or ``target 0`` and so on."""

    what: str
    begin: float
    end: float


class Machine:
    """The clock of the machine the work runs on: the truth's, off by so much."""

    def __init__(self, truth: FakeClock) -> None:
        self._truth = truth
        self.lead = timedelta(0)

    def now(self) -> datetime:
        return self._truth.now() + self.lead

    def monotonic(self) -> float:
        return self._truth.monotonic()

    def sleep(self, seconds: float) -> None:
        self._truth.sleep(seconds)


@dataclass(frozen=True)
class Warned:
    """A run posted an event on ``pme://at-risk/<audience>``, for slots that show these links, or without a ledger."""

    at: float
    links: frozenset[tuple[str, str]] = frozenset()


class KilledError(BaseException):
    """A worker dies here and now."""


@dataclass
class Report:
    """What came of a fortnight."""

    slots: int
    days: float
    dark: list[tuple[str, float, float]] = field(default_factory=list)
    predicted: float = 0.0
    most_alive: int = 0
    unknown: int = 0
    minted: int = 0
    killed: int = 0
    warnings: list[Warned] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    dark_links: list[tuple[str, str, float]] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)

    @property
    def dark_seconds(self) -> float:
        return sum(end - begin for _, begin, end in self.dark)

    @property
    def mints_per_slot_and_day(self) -> float:
        return self.minted / self.slots / self.days

    def warned_ahead(self, slot: str, token: str, died: float) -> float | None:
        """How long before a slot went dark the first warning came that covers it; ``None`` if there was none.

        While the ledger is away a warning names no slot: the one that comes within the link's life counts. Where
        Airflow is away nothing can warn but monitoring, of figures that nobody has read for so long.
        """
        link = (slot, fingerprint(AccessToken(token)))
        times = [w.at for w in self.warnings if link in w.links or (not w.links and died - DAY < w.at < died)]
        times += [at + STALE for at, following in pairwise([*self.watched, self.days * DAY])
                  if following - at > STALE and at < died < following]  # fmt: skip
        return died - min(times) if times else None

    def in_words(self) -> str:
        return (
            f"{self.slots} slots, {self.days:.0f} days, {len(self.outages)} outages, {self.killed} workers killed: "
            f"{self.dark_seconds:.0f} dark slot-seconds ({self.predicted:.0f} predicted), at most {self.most_alive} tokens "
            f"alive at once for one model, {self.unknown} unknown live tokens, "
            f"{self.mints_per_slot_and_day:.2f} mints per slot and day."
        )


class VirtualClient:
    """The API's client over the emulator's state, in virtual time; it speaks in verdicts as the real one does."""

    def __init__(self, sim: Simulation, clock: Machine) -> None:
        self.client_id = CLIENT
        self.settings = ClientSettings(batch_size=25, max_concurrency=1)
        self.limiter = limiter_of(self.settings, clock)
        self.server_clock = ServerClock(clock)
        self.models_per_token = None
        self._sim = sim

    def _away(self) -> PMEUnavailableError | None:
        if self._sim.down("api"):
            return PMEUnavailableError("The PME API was not reached: could not connect.")
        self.server_clock.observe(self._sim.world.now().strftime("%a, %d %b %Y %H:%M:%S GMT"))
        return None

    def sync_clock(self) -> None:
        away = self._away()
        if away:
            raise away

    def mint(self, requests: Sequence[MintRequest]) -> list[MintVerdict]:
        away = self._away()
        return [NotMade(away, resend=True) if away else self._minted(request) for request in requests]

    def _minted(self, request: MintRequest) -> MintVerdict:
        issued = self._sim.world.issue(request.model_id, request.validity.seconds, request.models[1:])
        if self._sim.chance.random() < LOST_RATE:
            return Unknown("the connection broke")
        url = SecretStr(f"https://my.matterport.com/show?m={request.model_id}&auth=Bearer+{issued.token}")
        return Made(EmbedLink(request.model_id, AccessToken(issued.token), "showcase", url, issued.valid_until))

    def revoke(self, tokens: Sequence[AccessToken]) -> list[RevokeVerdict]:
        away = self._away()
        return [NotRevoked(str(away), sent=False) if away else self._revoked(token) for token in tokens]

    def _revoked(self, token: AccessToken) -> RevokeVerdict:
        if self._sim.chance.random() < DENIED_RATE:
            return NotRevoked("HTTP 502 without an answer")
        return (
            Revoked() if self._sim.world.revoke(token.reveal()) else NotRevoked("the API answered false", denied=True)
        )


class Wall(Shelf):
    """A target whose every change is timed."""

    def __init__(self, sim: Simulation, number: int) -> None:
        super().__init__(f"target {number}")
        self._sim = sim

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        if self._sim.down(self.name):
            raise SlotError("HTTP 503", passing=False)
        if self._sim.chance.random() < KILL_RATE / 10:
            self._sim.report.killed += 1
            raise KilledError
        self._sim.changes(f"{self.name}/{slot}", self.shown.get(slot), link.token.reveal())
        return super().put(slot, link, previous)


class Simulation:
    """One seed's fortnight."""

    def __init__(
        self,
        seed: int,
        days: float = 14,
        models: int = 67,
        targets: int = 3,
        longest: float = 11 * 3600,
        models_per_token: int = 1,
    ) -> None:
        self.chance = random.Random(seed)
        self.report = Report(models * targets, days)
        self.truth = FakeClock(datetime(2026, 3, 20, tzinfo=timezone.utc))
        self.world = World(Settings(models=sample_models(models), seed=seed))
        self.world.now = self.truth.now  # type: ignore[method-assign]
        self.models = list(self.world.models)
        self.walls = [Wall(self, number) for number in range(targets)]
        self.machine = Machine(self.truth)
        self.database = _Fragile(self)
        self.sealer = Sealer.of_connection(SecretStr("a secret of the simulation"))
        self.runs = 0
        self.runs_watched = 0
        self.days = days
        self.longest = longest
        self.schedules = shipped_schedules(PLACEMENTS)
        self.rules = rules_of(self.schedules.placements, self.truth.now())
        self.forecasts: Sequence[Forecast] = ()
        self.models_per_token = models_per_token
        self.report.outages = self._outages()

    # ------------------------------------------------------------------- world

    @property
    def now(self) -> float:
        return self.truth.monotonic()

    def down(self, what: str) -> bool:
        return any(o.what == what and o.begin <= self.now < o.end for o in self.report.outages)

    def _outages(self) -> list[Outage]:
        """One at a time, of random lengths up to the longest, with an hour to recover after each."""
        if not self.longest:
            return []
        kinds = ["api", "airflow", "database", *(f"target {n}" for n in range(len(self.walls)))]
        outages: list[Outage] = []
        at = 3600.0
        while True:
            begin = at + self.chance.uniform(0, 12 * 3600)
            length = self.longest if not outages else self.chance.uniform(600, self.longest)
            if begin + length > self.days * DAY - 3600:
                return outages
            outages.append(Outage(self.chance.choice(kinds), begin, begin + length))
            at = begin + length + 3600

    def changes(self, slot: str, old: str | None, new: str) -> None:
        """A slot shows another link: whatever time it was dark until now is dark time."""
        if old is not None:
            self._count_dark(slot, old)
        self.on_change = (slot, new)

    def _count_dark(self, slot: str, token: str) -> None:
        died = self._death(token)
        if died < self.now:
            self.report.dark.append((slot, died, self.now))
            self.report.dark_links.append((slot, token, died))

    def _death(self, token: str) -> float:
        issued = self.world.tokens[token]
        ends = min(issued.valid_until, issued.revoked_at or issued.valid_until)
        return (ends - datetime(2026, 3, 20, tzinfo=timezone.utc)).total_seconds()

    # -------------------------------------------------------------------- work

    def run(self) -> Report:
        ticks = [(at, name) for name, every, first in (("sweep", self.schedules.sweep, 60.0),
                 ("keeper", self.schedules.keeper, 0.0),
                 ("nightly", DAY, self.schedules.nightly)) for at in _every(first, every, self.days * DAY)]  # fmt: skip
        for at, name in sorted(ticks):
            self.truth.advance(max(0.0, at - self.now))
            if self.chance.random() < 0.02:
                self.machine.lead = timedelta(seconds=self.chance.choice([-600, 0, 600]))
            if self.down("airflow"):
                continue
            self._predict(name)
            self._guarded(getattr(self, f"_{name}"))
            self._look()
        for wall in self.walls:
            for slot, token in wall.shown.items():
                self._count_dark(f"{wall.name}/{slot}", token)
        self.report.minted = self.world.counts["minted"]
        return self.report

    def _predict(self, name: str) -> None:
        """What is dark when the first keeper or nightly run after an outage comes, and nothing stands in its way."""
        if name == "sweep" or self.down("api") or self.down("database"):
            return
        for wall in self.walls:
            if not self.down(wall.name):
                deaths = (self._death(token) for token in wall.shown.values())
                self.report.predicted += sum(self.now - died for died in deaths if died < self.now)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (LedgerUnavailableError, KilledError):
            return

    def _services(self) -> Services:
        client = VirtualClient(self, self.machine)
        return Services(client, self.database, self.sealer, self.machine)  # type: ignore[arg-type]

    def _keeper(self) -> None:
        self._rotate("keeper", self.schedules.placements[0].renew_before)

    def _nightly(self) -> None:
        self._rotate("nightly", None)

    def _rotate(self, name: str, renew_before: timedelta | None) -> None:
        self.runs += 1
        services = self._services()
        demand = Demand(CLIENT, "intranet", Validity.parse("24h"), renew_before)
        if self.chance.random() < KILL_RATE:
            self._killed_while_minting(services, demand)
        request = MintLinksRequest(
            self.models, demand.audience, demand.validity, demand.renew_before, models_per_token=self.models_per_token
        )
        outcome = mint_links(services, RunContext(f"{name}/{self.runs}/mint/-1"), request)
        for wall in self.walls:
            self._guarded(lambda wall=wall: self._publish(services, name, wall, outcome.items))  # type: ignore[misc]

    def _publish(self, services: Services, name: str, wall: Wall, items: Sequence[Mapping[str, Any]]) -> None:
        Publisher(services, RunContext(f"{name}/{self.runs}/{wall.name}/-1"), wall).publish(items)

    def _killed_while_minting(self, services: Services, demand: Demand) -> None:
        """A worker recorded and sent mints, and was killed before the answers came."""
        if self.down("api"):
            return
        actor = RunContext(
            f"killed/{self.runs}/mint/-1", process=RunContext("x").process.rsplit("|", 2)[0] + "|999999|1"
        )
        services.learn_server_time()
        with self.database.write(actor) as tx:
            mint_run = mint_runs.begin(tx)
            tokens = [self.models[:5]] if self.models_per_token > 1 else None
            sent = mint_requests.prepare(
                tx, mint_run, demand, self.models[:5], services.server_now(), lambda _: True, tokens
            )
        for entry in sent:
            if isinstance(entry, PendingMint):
                self.world.issue(entry.opens[0], 86_400, entry.opens[1:])
        self.report.killed += 1

    def _sweep(self) -> None:
        self._guarded(lambda: sweep(self._services()))
        self._watch()

    def _watch(self) -> None:
        """What the task after the sweep does."""
        view = LedgerView("pme_default", CLIENT, self.database, self.sealer, self.rules)
        self.runs_watched += 1
        try:
            report = watch_slots(view, RunContext(f"sweep/{self.runs_watched}/watch/-1"))
        except LedgerUnavailableError as error:
            warnings, self.forecasts = foresee(self.forecasts, self.machine.now(), error)
            self.report.warnings += [Warned(self.now) for _ in warnings]
            return
        self.report.watched.append(self.now)
        self.forecasts = forecast_of(report)
        if report.warnings:
            self.report.warnings.append(Warned(self.now, frozenset(self._newly_warned())))

    def _newly_warned(self) -> Iterator[tuple[str, str]]:
        with self.database.read() as tx:
            for event in audit.export_events(tx):
                if event["event"] == "at_risk" and event["run"] == f"sweep/{self.runs_watched}/watch/-1":
                    yield f"{event['target']}/{event['slot']}", event["fingerprint"]

    def _look(self) -> None:
        """Count what is alive, and what of it is neither known nor covered."""
        alive = self.world.alive()
        counts = Counter(model_id for issued in alive for model_id in (issued.model_id, *issued.more_models))
        self.report.most_alive = max([self.report.most_alive, *counts.values()])
        if self.runs % 48 or self.down("database"):
            return
        known = rows(self._services())
        live = {row.fingerprint for row in known if row.state.value == "live"}
        hidden = Counter(
            min(t.model_id, *t.more_models, t.model_id) for t in alive if fingerprint(AccessToken(t.token)) not in live
        )
        cover = Counter(min(row.opens) for row in known if row.state.value in ("minting", "unaccounted"))
        self.report.unknown += sum((hidden - cover).values())


class _Fragile(Database):
    """A ledger in memory that is away while an outage says so; what it holds outlives the outage."""

    def __init__(self, sim: Simulation) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        super().__init__(tuned(engine), sim.machine, migrate=True)
        self.prepare()
        self._sim = sim

    def write(self, run_context: Any = None) -> Any:
        self._raise_if_away()
        return super().write(run_context)

    def read(self) -> Any:
        self._raise_if_away()
        return super().read()

    def _raise_if_away(self) -> None:
        if self._sim.down("database"):
            raise LedgerUnavailableError("The ledger cannot be reached.")


def _every(first: float, every: float, end: float) -> list[float]:
    return [first + every * number for number in range(int((end - first) // every) + 1)]


# ------------------------------------------------------------------ the report


def chart(report: Report, names: Sequence[str]) -> str:
    """Slots by time as an SVG: green is live, red is dark; above it, what was away."""
    width, row, left, top = 1100, 3, 90, 150
    scale = (width - left - 20) / (report.days * DAY)
    kinds = sorted({outage.what for outage in report.outages})
    height = top + row * len(names) + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    ]
    out.append(f'<rect width="{width}" height="{height}" fill="#fff"/>')
    for index, kind in enumerate(kinds):
        y = 20 + index * 20
        out.append(f'<text x="8" y="{y + 10}">{kind}</text>')
        for outage in report.outages:
            if outage.what == kind:
                x, w = left + outage.begin * scale, (outage.end - outage.begin) * scale
                out.append(f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="12" fill="#d29922"/>')
    live_width = report.days * DAY * scale
    out.append(f'<rect x="{left}" y="{top}" width="{live_width:.1f}" height="{row * len(names)}" fill="#3fb950"/>')
    at = {name: top + row * index for index, name in enumerate(names)}
    for slot, begin, end in report.dark:
        w = max(0.6, (end - begin) * scale)
        out.append(
            f'<rect x="{left + begin * scale:.1f}" y="{at[slot]}" width="{w:.1f}" height="{row}" fill="#cf222e"/>'
        )
    out.append(f'<text x="8" y="{top + 14}">{len(names)} slots</text>')
    for day in range(int(report.days) + 1):
        x = left + day * DAY * scale
        out.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - 30}" stroke="#fff" stroke-width="0.5"/>')
        out.append(f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle">{day}</text>')
    return "\n".join([*out, "</svg>\n"])


def main() -> None:
    """Run one fortnight, and with a number behind it so many seeds; write the docs' page."""
    logging.disable(logging.CRITICAL)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    lines = []
    first: Simulation | None = None
    for seed in range(1, seeds + 1):
        sim = Simulation(seed)
        report = sim.run()
        first = first or sim
        lines.append(f"| {seed} | {report.in_words()} |")
        print(f"seed {seed}: {report.in_words()}", flush=True)
    beyond = Simulation(99, days=4, models=20, longest=26 * 3600)
    outcome = beyond.run()
    print(f"outages up to 26 h: {outcome.in_words()}")
    assert first is not None
    names = [f"{wall.name}/{model}" for wall in first.walls for model in first.models]
    (HERE / "images" / "simulation.svg").write_text(chart(first.report, names))
    (HERE / "simulation.md").write_text(
        "# A simulated fortnight\n\nWritten by `make simulate`: the real ledger and the real work in virtual time, 201 slots on "
        "three targets, the shipped\nDAGs' schedule, one random outage after another of up to 11 h (the API, a target, Airflow, "
        "the database), workers killed,\nanswers lost, clocks ten minutes off.\n\n![Slots by time](images/simulation.svg)\n\n"
        "| seed | what came of it |\n| --- | --- |\n" + "\n".join(lines) + "\n\n"
        f"With outages of up to 26 h instead: {outcome.in_words()}\n"
    )


if __name__ == "__main__":
    main()
