"""Make the calls of a target fail now and then, before or after they have done their work."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from pme_airflow.dev.target_kit.place import Place
from pme_airflow.targets.base import Target

__all__ = ["BreakingCalls"]

_CALLS = ("put", "read_back", "write_document", "read_document")


class BreakingCalls(Place):
    """A place whose target's calls fail, for a place that has no network to break."""

    def __init__(self, place: Place, seed: int = 3) -> None:
        self._place = place
        self._random = random.Random(seed)  # noqa: S311 - faults that a test repeats
        self._rate = 0.0
        self.keeps_old = place.keeps_old

    def target(self) -> Target:
        made = self._place.target()
        for name in _CALLS:
            object.__setattr__(made, name, self._breaking(getattr(made, name)))
        return made

    def shown(self, model_id: str) -> str:
        return self._place.shown(model_id)

    def everything(self) -> str:
        return self._place.everything()

    def check_untouched(self) -> None:
        self._place.check_untouched()

    def live_on(self) -> None:
        self._place.live_on()

    def break_it(self, rates: Mapping[str, float]) -> None:
        self._rate = sum(rates.values()) / 3

    def _breaking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*arguments: Any, **named: Any) -> Any:
            self._maybe_fail()
            result = call(*arguments, **named)
            self._maybe_fail()
            return result

        return broken

    def _maybe_fail(self) -> None:
        if self._random.random() < self._rate:
            raise ConnectionResetError("broken by the kit")
