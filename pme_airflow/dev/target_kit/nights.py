"""Nights at a place: what every target must keep, whatever the network to it does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from pme_airflow.dev.emulator import World
from pme_airflow.dev.target_kit.contract import require
from pme_airflow.dev.target_kit.fake_clock import FakeClock
from pme_airflow.dev.target_kit.place import Place
from pme_airflow.durations import Validity
from pme_airflow.ledger.publications import DEFAULT_GRACE
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, sweep

__all__ = ["RATES", "TRIES", "Nights"]

#: How often each fault strikes a request.
RATES = {
    "bad_gateway": 0.05, "lost_before": 0.05, "throttled": 0.03, "cut": 0.04, "lost_after": 0.05,
    "bad_gateway_after": 0.04, "slow": 0.05,
}  # fmt: skip
#: A task's tries in a night, as Airflow's retries would give it.
TRIES = 8
_NIGHT = timedelta(hours=23)
_AUDIENCE = "intranet"


class Nights:
    """Goes through nights at a place, and checks after every try of every night.

    :param runs: how many runs publish at the same time.
    """

    def __init__(
        self, place: Place, services: Services, clock: FakeClock, world: World, models: Sequence[str], runs: int = 1
    ) -> None:
        self.place, self.services, self.clock, self.world, self.models = place, services, clock, world, models
        self.runs = runs
        self.tries = 0
        place.models = models
        self.past: dict[str, list[str]] = {model_id: [] for model_id in models}

    def go(self, nights: int) -> None:
        """Publish each night through faults, and check after every try.

        :raises AssertionError: with what the target did wrong.
        """
        for night in range(nights):
            items = self._mint(night)
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
        """Clear every slot, and check that nothing is left."""
        Publisher(self.services, RunContext("dag/last/publish/-1"), self.place.target()).retire_others(_AUDIENCE, [])
        held = self.place.everything()
        left = [token for tokens in self.past.values() for token in tokens if token in held]
        require(left == [] or self.place.keeps_old, "a link is left in the place after its slots were cleared")
        self._pass_time(DEFAULT_GRACE + timedelta(minutes=1))
        self._sweep(-1)
        require(self.world.alive() == [], "a link still lives after every slot was cleared")

    def _publish(self, night: int, items: list[dict[str, object]], new: dict[str, str]) -> None:
        failed: list[dict[str, object]] = []
        for _ in range(TRIES):
            self.tries += 1
            failed = self._try(night, items)
            self._check_between(new)
            if not failed:
                return
            permanent = [failure for failure in failed if failure["permanent"]]
            require(not permanent, f"night {night}: a failure that may pass is reported as permanent: {permanent}")
            self._pass_time(DEFAULT_GRACE / TRIES * 2)
            self._sweep(night)
            self._check_between(new)
        raise AssertionError(f"night {night}: not published in {TRIES} tries: {failed}")

    def _try(self, night: int, items: list[dict[str, object]]) -> list[dict[str, object]]:
        """Publish in every run, and return the slots that failed in one of them."""

        def publish(number: int) -> list[dict[str, object]]:
            context = RunContext(f"dag/night{night}/publish{number or ''}/-1")
            return list(Publisher(self.services, context, self.place.target()).publish(items).failed)

        with ThreadPoolExecutor(self.runs) as pool:
            return [failure for failures in pool.map(publish, range(self.runs)) for failure in failures]

    def _check_between(self, new: dict[str, str]) -> None:
        """Whatever a try came to: each slot shows one link that lives, the new one or the last."""
        for model_id in self.models:
            shown = self.place.shown(model_id)
            last = self.past[model_id][-1:]
            found = [token for token in (*self.past[model_id], new[model_id]) if token in shown]
            shows = f"the slot of model {model_id} shows"
            require(len(found) == 1 or (not last and not found), f"{shows} {len(found)} links between two tries")
            require(set(found) <= {*last, new[model_id]}, f"{shows} a link that was replaced some nights ago")
            lives = all(self.world.tokens[token].alive(self.world.now()) for token in found)
            require(lives, f"{shows} a dead link: the new one was recorded before readers saw it")
        self.place.check_untouched()

    def _check_left_behind(self, new: dict[str, str]) -> None:
        """What a place keeps of old links, and nobody can take out, is dead as soon as the new one is shown."""
        held = self.place.everything()
        for tokens in self.past.values():
            kept = [token for token in tokens if token in held]
            alive = [token for token in kept if self.world.tokens[token].alive(self.world.now())]
            message = "an old link can be read in the place, and lives: return old_link_remains, or delete it"
            require(not alive, message)

    def _mint(self, night: int) -> list[dict[str, object]]:
        request = MintLinksRequest(self.models, _AUDIENCE, Validity.parse("24h"))
        return mint_links(self.services, RunContext.of_task("dag", f"night{night}", "mint"), request).items

    def _sweep(self, night: int) -> None:
        sweep(self.services, RunContext("dag/sweep/sweep/-1"), SweepRequest())

    def _check_after(self, new: dict[str, str]) -> None:
        held = self.place.everything()
        for model_id in self.models:
            published = f"the link of model {model_id} was published, but readers do not see it"
            require(new[model_id] in self.place.shown(model_id), published)
            old = [token for token in self.past[model_id] if token in held]
            left = f"{len(old)} old links of model {model_id} are left in the place"
            require(old == [] or self.place.keeps_old, left)
        alive = {issued.token for issued in self.world.alive()}
        require(alive == {new[model_id] for model_id in self.models}, "other links live than those that are shown")

    def _pass_time(self, span: timedelta) -> None:
        self.clock.advance(span.total_seconds())
        self.world.move_clock(span.total_seconds())
