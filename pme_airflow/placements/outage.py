"""Compute the longest outage that a placement's schedule survives without a dark slot, and what limits it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone

from pme_airflow.placements.nights import longest_night
from pme_airflow.placements.placement import Placement
from pme_airflow.placements.token_sharing import sharing_words

__all__ = ["LONGEST_RUN", "Plan", "plan"]

#: The most time that a run without errors needs from its scheduled time to its last slot.
LONGEST_RUN = timedelta(minutes=1)


@dataclass(frozen=True)
class Plan:
    """How long the API, the targets or Airflow may be away.

    :param survives: the longest outage that leaves no slot dark; negative if there is a gap without any outage.
    :param rule: what limits it.
    :param cure: what to change if it is negative.
    :param sharing: what tokens for several models win and cost; empty for single links.
    """

    audience: str
    survives: timedelta
    rule: str
    cure: str
    sharing: str = ""

    @property
    def leaves_gap(self) -> bool:
        """Whether a slot goes dark although nothing is wrong."""
        return self.survives < timedelta(0)

    def in_words(self) -> str:
        """Return the plan in a sentence or two."""
        if self.leaves_gap:
            return f"slots are dark for up to {_words(-self.survives)} between two links: {self.rule}."
        return f"slots survive an outage of {_words(self.survives)}: {self.rule}."


def plan(placement: Placement, given_validity: timedelta | None = None, today: date | None = None) -> Plan:
    """Compute what a placement survives.

    :param given_validity: the validity that the API granted lately, if that is less than ``valid_for``; the mint
        renews by the same share of it.
    :param today: the first day of the year whose nights are looked at; today if it is left out.
    """
    requested = placement.valid_for.duration
    life = min(requested, given_validity or requested)
    models = placement.listed_models
    sharing = sharing_words(placement.models_per_token, None if models is None else len(models))
    if placement.keep_every is None:
        nightly = _nightly_plan(placement, life, today or datetime.now(timezone.utc).date())
        return replace(nightly, sharing=sharing)
    margin, every = placement.renew_before * (life / requested), placement.keep_every
    rule = (
        f"a link of {_words(life)}{_clamped(life, requested)} is due with {_words(margin)} left, is seen up to "
        f"{_words(every)} later, the run after an outage comes up to {_words(every)} after its end, and takes up to "
        f"{_words(LONGEST_RUN)}"
    )
    shorter = max(timedelta(seconds=10), margin / 3)
    cure = f"Set keep_every to {_words(shorter)} or less, or valid_for longer"
    return Plan(placement.audience, _survived(margin, every), rule, cure, sharing)


def _survived(margin: timedelta, every: timedelta) -> timedelta:
    """Return the longest outage that a link survives; negative if it is renewed too late without any outage.

    At worst a link has just its margin left when a run looks, and an outage begins just before the next run. The run
    that renews the link is then the first one of the schedule after the end: the spare time counts by whole runs.
    """
    spare = margin - every - LONGEST_RUN
    return spare if spare < timedelta(0) else spare // every * every


def _nightly_plan(placement: Placement, life: timedelta, today: date) -> Plan:
    """Plan for links that the nightly run alone renews."""
    night = longest_night(placement.timezone, today)
    clocks = " (the night the clocks go back)" if night > timedelta(hours=24) else ""
    rule = (
        f"a link lives {_words(life)}{_clamped(life, placement.valid_for.duration)}, and the nightly run alone brings "
        f"a new one after up to {_words(night)}{clocks} and {_words(LONGEST_RUN)} of running"
    )
    cure = "Let the keeper look every 30 minutes (drop keep_every: false)"
    return Plan(placement.audience, life - night - LONGEST_RUN, rule, cure)


def _clamped(life: timedelta, requested: timedelta) -> str:
    return "" if life == requested else f" (the API gives no more of the {_words(requested)} requested)"


def _words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    parts = [(seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"
