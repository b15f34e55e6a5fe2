"""What came of a simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.simulation.outages import DAY, Outage

__all__ = ["STALE", "Report", "Size", "Warned"]

#: Monitoring warns when the slots were not read for so long: the rule PMESlotsNotRead.
STALE = 45 * 60.0


@dataclass(frozen=True)
class Size:
    """How long and how large a simulation is.

    :param longest: the longest outage in seconds; ``None`` for what ``pme-airflow plan`` says.
    :param changes: whether the client secret is reset and the client is changed.
    :param skips_idle: whether runs are left out that would find nothing to do; else they run, and are checked to
        write nothing.
    """

    days: float = 14
    models: int = 67
    targets: int = 3
    longest: float | None = 11 * 3600.0
    changes: bool = False
    skips_idle: bool = False


@dataclass(frozen=True)
class Warned:
    """A run posted an event on ``pme://at-risk/<audience>``, for slots that show these links, or without a ledger."""

    at: float
    links: frozenset[tuple[str, str]] = frozenset()


@dataclass
class Report:
    """What came of a simulation.

    :ivar least_left: how many seconds a shown link had left at the least when a keeper or nightly run began that nothing
        stood in the way of.
    :ivar unopened: how often a sweep met a link that no key of the connection opens.
    :ivar resealed: how many links were sealed anew after the client secret was reset; ``None`` until the keys that were
        needed before can be removed.
    :ivar former_revoked: how many links of the former client its connection revoked after the move; ``None`` until none
        of them is live.
    :ivar former_alive: how many links of the former client that the ledger knows opened something after that.
    :ivar left_out: runs that were left out, or checked to write nothing, since nothing was due.
    """

    slots: int
    days: float
    longest: float = 0.0
    dark: list[tuple[str, float, float]] = field(default_factory=list)
    predicted: float = 0.0
    least_left: float = math.inf
    most_alive: int = 0
    unknown: int = 0
    minted: int = 0
    killed: int = 0
    runs: int = 0
    left_out: int = 0
    warnings: list[Warned] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    dark_links: list[tuple[str, str, float]] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    clock_changes: list[float] = field(default_factory=list)
    has_seal_key: bool = False
    reset_at: float | None = None
    changed_at: float | None = None
    unopened: int = 0
    resealed: int | None = None
    former_revoked: int | None = None
    former_alive: int = 0

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
            f"alive at once for one model, {self.unknown} unknown live tokens, {self.unopened} that no key opens, "
            f"{self.mints_per_slot_and_day:.2f} mints per slot and day."
        )
