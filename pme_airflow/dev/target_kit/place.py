"""The place that a target under examination writes to, as its readers see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from pme_airflow.dev.target_kit.proxy import Proxy
from pme_airflow.targets.base import Target

__all__ = ["BehindProxy", "Place"]


class Place(ABC):
    """A real place with slots for some models.

    :ivar models: the models that are published; set before anything else is called.
    """

    #: Whether the place keeps replaced content that nobody can take out of it; then what it keeps must be dead.
    keeps_old = False
    models: Sequence[str] = ()

    @abstractmethod
    def target(self) -> Target:
        """Return the target as one task makes it: a new object each time."""

    @abstractmethod
    def shown(self, model_id: str) -> str:
        """Return what a reader is shown in a model's slot, read without the target; empty if nothing is."""

    def everything(self) -> str:
        """Return all that the place holds: old versions, drafts, search, other readers' answers."""
        return "".join(self.shown(model_id) for model_id in self.models)

    def check_untouched(self) -> None:
        """Raise where anything but the slots is not as it was."""

    def live_on(self) -> None:
        """Do what people do at the place in the daytime."""

    def break_it(self, rates: Mapping[str, float]) -> None:
        """Set how often each fault strikes a request on the way to the place; none at all if it is empty.

        Where a place does not override it, the calls of the target fail instead, before or after their work.
        """


class BehindProxy(Place):
    """A place on a server that the target reaches through a proxy, at ``proxy.address``."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def break_it(self, rates: Mapping[str, float]) -> None:
        self.proxy.rates = dict(rates)
