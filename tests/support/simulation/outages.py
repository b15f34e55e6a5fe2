"""What is away, and when; and when people change the secret and the client."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CREDENTIALS", "DAY", "Outage", "Plans", "planned"]

DAY = 86_400.0
#: The client secret was reset, and the connection still has the earlier one.
CREDENTIALS = "credentials"
#: How long it takes people to put a new secret into the connection.
_PEOPLE = (600.0, 7200.0)
_RECOVERY = 3600.0
#: When the secret is reset and the client is changed, as parts of the whole time.
_RESET, _CHANGE = 0.3, 0.6


@dataclass(frozen=True)
class Outage:
    """Something is away for a while: ``api``, ``airflow``, ``database``, ``credentials``, or ``target 0`` and so on."""

    what: str
    begin: float
    end: float


@dataclass(frozen=True)
class Plans:
    """What is to happen.

    :param reset: from the reset of the client secret to the new one's arrival in the connection.
    :param change: when the installation moves to another client.
    """

    outages: Sequence[Outage]
    reset: Outage | None = None
    change: float | None = None


def planned(chance: random.Random, days: float, targets: int, longest: float, *, changes: bool) -> Plans:
    """Plan one outage at a time, of random lengths up to the longest, with an hour to recover after each.

    :param longest: the longest in seconds, which the first one lasts; 0 for none.
    :param changes: whether the secret is reset and the client is changed.
    """
    kinds = ["api", "airflow", "database", *(f"target {number}" for number in range(targets))]
    outages: list[Outage] = []
    reset: Outage | None = None
    change: float | None = None
    at = _RECOVERY
    while True:
        begin = at + chance.uniform(0, 12 * 3600)
        kind = chance.choice(kinds)
        length = (longest if not outages else chance.uniform(min(600.0, longest), longest)) if longest else 0.0
        if changes and reset is None and begin > _RESET * days * DAY:
            kind, length = CREDENTIALS, chance.uniform(*_PEOPLE)
        elif changes and change is None and begin > _CHANGE * days * DAY:
            change = begin - chance.uniform(0, _RECOVERY)
        if begin + length > days * DAY - _RECOVERY:
            return Plans(outages, reset, change)
        if length:
            outages.append(Outage(kind, begin, begin + length))
            reset = outages[-1] if kind == CREDENTIALS else reset
        at = begin + length + _RECOVERY
