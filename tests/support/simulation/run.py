"""One seed's simulation: the shipped DAGs' runs one after the other, with what is away and what people do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import select

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.durations import Validity
from pme_airflow.errors import LedgerUnavailableError, PMECredentialsError
from pme_airflow.hooks.ledger_views import rules_of
from pme_airflow.ledger import mint_requests, mint_runs
from pme_airflow.ledger.mint_requests import Demand, PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import events
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_watch import Forecast, forecast_of, foresee, watch_slots
from pme_airflow.placements import plan
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.clocks import FakeClock
from tests.support.rooms import CLIENT, rows, sweep
from tests.support.schedules import clock_changes, nights, shipped_schedules
from tests.support.simulation.idle import CLOCKS, IdleRuns, next_sweep
from tests.support.simulation.installation import FragileDatabase, KilledError, Wall, in_line
from tests.support.simulation.outages import DAY, Outage, planned
from tests.support.simulation.people import People
from tests.support.simulation.report import Report, Size, Warned
from tests.support.simulation.vendor import Connection, Machine, Vendor, VirtualClient

__all__ = ["START", "ZONE", "Simulation"]

START = datetime(2026, 3, 20, tzinfo=timezone.utc)
#: Where clocks change on 2026-03-29 and 2026-10-25.
ZONE = "Europe/Berlin"
#: What the simulated installation shows, for the schedules and the renewal rules that follow from it.
PLACEMENTS = f"""
audience: intranet
valid_for: 24h
timezone: {ZONE}
models: [yyHDFKzPzvN]
targets: [{{kind: object_storage, path: "file:///srv/embeds"}}]
"""
KILL_RATE = 0.01
#: After how many seconds a killed task runs again: ``task_instance_heartbeat_timeout`` and the keeper's ``retry_delay``.
_KILL_FOUND_AFTER = 320.0
#: One API outage in so many answers 503; to the others nobody can connect.
_ANSWERS_503 = 3
#: How many runs of the keeper and the nightly run are between two comparisons of the ledger with what is alive. No
#: whole day's, so that every hour has its turn.
_COMPARED_EVERY = 47


class Simulation:
    """One seed's simulation.

    :param models_per_token: how many models share a token.
    """

    def __init__(self, seed: int, size: Size = Size(), models_per_token: int = 1, start: datetime = START) -> None:  # noqa: B008
        self.chance = random.Random(seed)
        self.size = size
        self.truth = FakeClock(start)
        world = World(Settings(models=sample_models(size.models), seed=seed))
        world.now = self.truth.now  # type: ignore[method-assign]
        self.models = list(world.models)
        self.vendor = Vendor(world, start)
        self.walls = [Wall(self, number) for number in range(size.targets)]
        self.machine = Machine(self.truth)
        self.database = FragileDatabase(self, self.machine)
        self.schedules = shipped_schedules(PLACEMENTS)
        self.placement = self.schedules.placements[0]
        self.rules = rules_of(self.schedules.placements, start)
        survives = plan(self.placement).survives.total_seconds()
        longest = survives if size.longest is None else size.longest
        plans = planned(self.chance, size.days, size.targets, longest, changes=size.changes)
        self.report = Report(size.models * size.targets, size.days, longest, outages=list(plans.outages))
        self.report.clock_changes = clock_changes(ZONE, start, size.days)
        self.report.has_seal_key = size.changes and seed % 2 == 0
        keys = ("a seal key of the simulation",) if self.report.has_seal_key else ()
        self.connection = Connection("pme_default", CLIENT, "a secret of the simulation", keys)
        self.vendor.secrets[CLIENT] = self.connection.secret
        self.people = People(self, plans, seed)
        self.idle = IdleRuns(self.database)
        self.runs = self.runs_watched = 0
        self.forecasts: Sequence[Forecast] = ()
        self.models_per_token = models_per_token
        self._start = start
        self._ended = 0

    # ------------------------------------------------------------------- world

    @property
    def now(self) -> float:
        return self.truth.monotonic()

    def down(self, what: str) -> bool:
        outage = self._next_outage()
        return outage is not None and outage.what == what and outage.begin <= self.now

    @property
    def api_answers(self) -> bool:
        return self._ended % _ANSWERS_503 == 0

    def _next_outage(self) -> Outage | None:
        """Return the first outage that has not ended; a year has several hundred, one after the other."""
        outages = self.report.outages
        while self._ended < len(outages) and outages[self._ended].end <= self.now:
            self._ended += 1
        return outages[self._ended] if self._ended < len(outages) else None

    def wait(self, seconds: float) -> None:
        self.truth.advance(seconds)

    def happens(self, rate: float) -> bool:
        return self.chance.random() < rate

    def is_killed(self) -> bool:
        killed = self.happens(KILL_RATE / 10)
        self.report.killed += killed
        return killed

    def changes(self, slot: str, old: str | None) -> None:
        """A slot shows another link: whatever time it was dark until now is dark time."""
        if old is not None:
            self._count_dark(slot, old)

    def _count_dark(self, slot: str, token: str) -> None:
        died = self.vendor.death(token)
        if died < self.now:
            self.report.dark.append((slot, died, self.now))
            self.report.dark_links.append((slot, token, died))

    def _shown(self) -> list[str]:
        return [token for wall in self.walls for token in wall.shown.values()]

    def _first_death(self) -> float:
        """When the first slot goes dark if nobody renews; now, while a slot shows nothing yet."""
        shown = self._shown()
        return min(map(self.vendor.death, shown)) if len(shown) == self.report.slots else self.now

    # -------------------------------------------------------------------- work

    def run(self) -> Report:
        random.seed(self.report.slots)  # the jitter of retries
        end = self.size.days * DAY
        nightly = nights(self.schedules, self._start, end)
        ticks = [(at, name) for name, times in (
            ("sweep", _every(60.0, self.schedules.sweep, end)),
            ("keeper", _every(0.0, self.schedules.keeper, end)),
            ("nightly", nightly)) for at in times]  # fmt: skip
        with in_line():
            for at, name in sorted(ticks):
                self._tick(at, name)
        for wall in self.walls:
            for slot, token in wall.shown.items():
                self._count_dark(f"{wall.name}/{slot}", token)
        self.report.minted = self.vendor.world.counts["minted"]
        return self.report

    def _tick(self, at: float, name: str) -> None:
        self.truth.advance(max(0.0, at - self.now))
        if self.happens(0.02):
            self.machine.lead = timedelta(seconds=self.chance.choice([-600, 0, 600]))
        self.people.act()
        if self.down("airflow"):
            return
        self.report.runs += 1
        self._predict(name)
        self._guarded(getattr(self, f"_{name}"))
        if name == "nightly":
            self.vendor.forget_dead(self.now - DAY, self._shown())

    def _predict(self, name: str) -> None:
        """What is dark when the first keeper or nightly run after an outage comes, and nothing stands in its way."""
        if name == "sweep" or self.down("api") or self.down("database"):
            return
        for wall in self.walls:
            if not self.down(wall.name):
                left = [self.vendor.death(token) - self.now for token in wall.shown.values()]
                self.report.predicted -= sum(seconds for seconds in left if seconds < 0)
                self.report.least_left = min([self.report.least_left, *left])

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (LedgerUnavailableError, PMECredentialsError, KilledError):
            return

    def services(self, connection: Connection | None = None) -> Services:
        used = connection or self.connection
        client = VirtualClient(self, used, self.machine)
        return Services(client, self.database, used.sealer, self.machine)  # type: ignore[arg-type]

    def _unless_idle(self, name: str, work: Callable[[], None], until: Callable[[], float]) -> None:
        """Do work, or leave it out where nothing is due.

        :param until: returns from when the work may find something that falls due by time alone.
        """
        connection, before = self.connection, self.database.changes
        idle = not self.down("database") and self.idle.nothing_is_due(name, connection, self.now)
        self.report.left_out += idle
        if not (idle and self.size.skips_idle):
            self._guarded(work)
            assert not idle or self.database.changes == before, f"{name} at {self.now}: nothing was due, and it wrote"
            if not self.down("database"):
                self.idle.ran(name, connection, before, until())

    def _keeper(self) -> None:
        self.runs += 1
        if self.happens(KILL_RATE):
            self._guarded(self._killed_while_minting)
        renew_before = self.placement.renew_before
        self._unless_idle(
            "keeper",
            lambda: self._rotate("keeper", renew_before),
            lambda: self._first_death() - renew_before.total_seconds() - CLOCKS,
        )
        self._look()

    def _nightly(self) -> None:
        self.runs += 1
        self._rotate("nightly", None)
        self._look()

    def _rotate(self, name: str, renew_before: timedelta | None) -> None:
        services = self.services()
        request = MintLinksRequest(
            self.models, "intranet", Validity.parse("24h"), renew_before, models_per_token=self.models_per_token
        )
        outcome = mint_links(services, RunContext(f"{name}/{self.runs}/mint/-1"), request)
        for wall in self.walls:
            self._guarded(lambda wall=wall: self._publish(services, name, wall, outcome.items))  # type: ignore[misc]

    def _publish(self, services: Services, name: str, wall: Wall, items: Sequence[Mapping[str, Any]]) -> None:
        run_context = RunContext(f"{name}/{self.runs}/{wall.name}/-1")
        try:
            Publisher(services, run_context, wall).publish(items)
        except KilledError:  # Airflow tries the task again, once it has missed its signs of life
            self.wait(_KILL_FOUND_AFTER)
            Publisher(services, run_context, wall).publish(items)

    def _killed_while_minting(self) -> None:
        """A worker recorded and sent mints, and was killed before the answers came."""
        if self.down("api") or not self.vendor.accepts(self.connection):
            return
        client_id = self.connection.client_id
        actor = RunContext(
            f"killed/{self.runs}/mint/-1", process=RunContext("x").process.rsplit("|", 2)[0] + "|999999|1"
        )
        services = self.services()
        services.learn_server_time()
        demand = Demand(client_id, "intranet", Validity.parse("24h"), self.placement.renew_before)
        with self.database.write(actor) as tx:
            mint_run = mint_runs.begin(tx)
            tokens = [self.models[:5]] if self.models_per_token > 1 else None
            sent = mint_requests.prepare(
                tx, mint_run, demand, self.models[:5], services.server_now(), lambda _: True, tokens
            )
        for entry in sent:
            if isinstance(entry, PendingMint):
                self.vendor.issue(client_id, entry.opens, 86_400)
        self.report.killed += 1

    def _sweep(self) -> None:
        self._unless_idle("sweep", self._revoke_due, self._next_sweep)
        self.runs_watched += 1
        margin = self.placement.renew_before.total_seconds() + CLOCKS
        self._unless_idle("watch", self._watch, lambda: self._first_death() - margin)
        if not self.down("database"):
            self.report.watched.append(self.now)

    def _revoke_due(self) -> None:
        self.report.unopened += len(sweep(self.services()).unopened)

    def _next_sweep(self) -> float:
        return self.now + next_sweep(self.database, self.connection.client_id, self.machine.now())

    def _watch(self) -> None:
        """What the task after the sweep does."""
        used = self.connection
        view = LedgerView(used.conn_id, used.client_id, self.database, used.sealer, self.rules)
        try:
            report = watch_slots(view, RunContext(f"sweep/{self.runs_watched}/watch/-1"))
        except LedgerUnavailableError as error:
            warnings, self.forecasts = foresee(self.forecasts, self.machine.now(), error)
            self.report.warnings += [Warned(self.now) for _ in warnings]
            return
        self.forecasts = forecast_of(report)
        if report.warnings:
            self.report.warnings.append(Warned(self.now, self._newly_warned()))

    def _newly_warned(self) -> frozenset[tuple[str, str]]:
        of_this_run = events.c.event == "at_risk", events.c.run == f"sweep/{self.runs_watched}/watch/-1"
        with self.database.read() as tx:
            found = tx.execute(select(events.c.target, events.c.slot, events.c.fingerprint).where(*of_this_run))
            return frozenset((f"{row.target}/{row.slot}", row.fingerprint) for row in found)

    def _look(self) -> None:
        """Count what is alive, and what of it is neither known nor covered."""
        alive = self.vendor.world.alive()
        counts = Counter(model_id for issued in alive for model_id in (issued.model_id, *issued.more_models))
        self.report.most_alive = max([self.report.most_alive, *counts.values()])
        if self.runs % _COMPARED_EVERY or self.down("database"):
            return
        known = rows(self.services(), "live", "minting", "unaccounted")
        live = {row.fingerprint for row in known if row.state.value == "live"}
        hidden = Counter(
            min(t.model_id, *t.more_models, t.model_id) for t in alive if fingerprint(AccessToken(t.token)) not in live
        )
        cover = Counter(min(row.opens) for row in known if row.state.value in ("minting", "unaccounted"))
        self.report.unknown += sum((hidden - cover).values())


def _every(first: float, every: float, end: float) -> list[float]:
    return [first + every * number for number in range(int((end - first) // every) + 1)]
