"""What a placement's schedule survives: the longest outage that leaves no slot dark, and the rule that limits it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pme_airflow.placements.placement import Placement

__all__ = ["Plan", "plan"]

#: What a run needs between its scheduled time and the last slot, at most, when nothing is wrong.
_RUN = timedelta(minutes=1)
#: The longest night between two runs at the same local hour: the one on which clocks go back.
_LONGEST_NIGHT = timedelta(hours=25)


@dataclass(frozen=True)
class Plan:
    """How long everything may be away.

    :param survives: the longest outage that leaves no slot dark; negative where there is a gap without any outage.
    :param rule: what limits it.
    :param cure: what to change where it is negative.
    """

    audience: str
    survives: timedelta
    rule: str
    cure: str

    @property
    def leaves_gap(self) -> bool:
        """Whether a slot goes dark although nothing is wrong."""
        return self.survives < timedelta(0)

    def in_words(self) -> str:
        """The plan in a sentence or two."""
        if self.leaves_gap:
            return f"slots are dark for up to {_words(-self.survives)} between two links: {self.rule}."
        return f"slots survive an outage of {_words(self.survives)}: {self.rule}."


def plan(placement: Placement) -> Plan:
    """Reckon what a placement survives."""
    life = placement.valid_for.duration
    margin, every = placement.renew_before, placement.keep_every
    if every is None:
        survives = life - _LONGEST_NIGHT - _RUN
        rule = (
            f"a link lives {_words(life)}, and the nightly run alone brings a new one after up to "
            f"{_words(_LONGEST_NIGHT)} (the night the clocks go back) and {_words(_RUN)} of running"
        )
        return Plan(placement.audience, survives, rule, "Let the keeper look every 15 minutes (drop keep_every: false)")
    survives = margin - every - _RUN
    rule = (
        f"a link of {_words(life)} is due with {_words(margin)} left, is seen up to {_words(every)} later, and a run "
        f"takes up to {_words(_RUN)}"
    )
    shorter = max(timedelta(seconds=10), margin / 3)
    return Plan(placement.audience, survives, rule, f"Set keep_every to {_words(shorter)} or less, or valid_for longer")


def _words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    parts = [(seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"
