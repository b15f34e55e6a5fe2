"""Thirty nights at one place: what every target must keep, whatever the network to it does. One test for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta

from pme_airflow.dev.emulator import World
from pme_airflow.ledger.publications import DEFAULT_GRACE
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import Target
from tests.support.clocks import FakeClock
from tests.support.rooms import mint, sweep

#: How often each fault strikes a request.
RATES = {
    "bad_gateway": 0.05, "lost_before": 0.05, "throttled": 0.03, "cut": 0.04, "lost_after": 0.05,
    "bad_gateway_after": 0.04, "slow": 0.05,
}  # fmt: skip
#: A task's tries in a night, as Airflow's retries would give it.
TRIES = 8
_NIGHT = timedelta(hours=23)


class Place(ABC):
    """A real place with slots for some models, reached through something that breaks."""

    #: Whether the place keeps replaced content that nobody can take out of it; then what it keeps must be dead.
    keeps_old = False

    @abstractmethod
    def target(self) -> Target:
        """The target as one task makes it, over the breaking way."""

    @abstractmethod
    def shown(self, model_id: str) -> str:
        """What a reader is shown in a model's slot, read by a way that does not break."""

    @abstractmethod
    def everything(self) -> str:
        """All that the place holds: old versions, drafts, search, other readers' answers."""

    def check_untouched(self) -> None:
        """Raise where anything but the slots is not as it was."""

    def live_on(self) -> None:
        """What people do at the place in the daytime."""

    def break_it(self, rates: dict[str, float]) -> None:
        """Set the faults of the way."""


class Nights:
    """Goes through nights at a place, and checks after every try of every night."""

    def __init__(self, place: Place, services: Services, clock: FakeClock, world: World, models: Sequence[str]) -> None:
        self.place, self.services, self.clock, self.world, self.models = place, services, clock, world, models
        self.tries = 0
        self.past: dict[str, list[str]] = {model_id: [] for model_id in models}

    def go(self, nights: int) -> None:
        for night in range(nights):
            items = mint(self.services, f"night{night}", self.models).items
            new = {issued.model_id: issued.token for issued in self.world.tokens.values()}
            self.place.break_it(RATES)
            self._publish(night, items, new)
            self.place.break_it({})
            self._sweep(night)
            self._check_left_behind(new)
            self._pass_time(DEFAULT_GRACE + timedelta(minutes=1))
            self._sweep(night)
            self._check_after(new)
            for model_id in self.models:
                self.past[model_id].append(new[model_id])
            self.place.live_on()
            self._pass_time(_NIGHT)

    def clear(self) -> None:
        """Take every slot away, and look that nothing is left."""
        Publisher(self.services, RunContext("dag/last/publish/-1"), self.place.target()).retire_others("intranet", [])
        held = self.place.everything()
        left = [token for tokens in self.past.values() for token in tokens if token in held]
        assert left == [] or self.place.keeps_old
        self._pass_time(DEFAULT_GRACE + timedelta(minutes=1))
        self._sweep(-1)
        assert self.world.alive() == []

    def _publish(self, night: int, items: list[dict[str, object]], new: dict[str, str]) -> None:
        failed: list[dict[str, object]] = []
        for _ in range(TRIES):
            self.tries += 1
            publisher = Publisher(self.services, RunContext(f"dag/night{night}/publish/-1"), self.place.target())
            failed = publisher.publish(items).failed
            self._check_between(new)
            if not failed:
                return
            assert not any(failure["permanent"] for failure in failed), failed
            self._pass_time(DEFAULT_GRACE / TRIES * 2)
            self._sweep(night)
            self._check_between(new)
        raise AssertionError(f"night {night}: {failed}")

    def _check_between(self, new: dict[str, str]) -> None:
        """Whatever a try came to: each slot shows one link that lives, the new one or the last."""
        for model_id in self.models:
            shown = self.place.shown(model_id)
            last = self.past[model_id][-1:]
            found = [token for token in (*self.past[model_id], new[model_id]) if token in shown]
            assert len(found) == 1 or (not last and not found), (model_id, len(found))
            assert set(found) <= {*last, new[model_id]}
            assert all(self.world.tokens[token].alive(self.world.now()) for token in found), "a dark slot"
        self.place.check_untouched()

    def _check_left_behind(self, new: dict[str, str]) -> None:
        """What a place keeps of old links, and nobody can take out, is dead as soon as the new one is shown."""
        held = self.place.everything()
        for tokens in self.past.values():
            kept = [token for token in tokens if token in held]
            assert not any(self.world.tokens[token].alive(self.world.now()) for token in kept), "left behind, and alive"

    def _sweep(self, night: int) -> None:
        sweep(self.services)

    def _check_after(self, new: dict[str, str]) -> None:
        held = self.place.everything()
        for model_id in self.models:
            assert new[model_id] in self.place.shown(model_id)
            old = [token for token in self.past[model_id] if token in held]
            assert old == [] or self.place.keeps_old, f"{len(old)} old links are left"
        assert {issued.token for issued in self.world.alive()} == {new[model_id] for model_id in self.models}

    def _pass_time(self, span: timedelta) -> None:
        self.clock.advance(span.total_seconds())
        self.world.move_clock(span.total_seconds())
