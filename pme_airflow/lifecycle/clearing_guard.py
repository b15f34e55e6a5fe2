"""Refuse to clear more than half of what is shown at once: a mistake in a list must not empty a site."""

from __future__ import annotations

from pme_airflow.errors import SlotError

__all__ = ["GUARDED_COUNT", "clearing_refused", "too_many"]

#: Fewer than this are always cleared; of more, at most half are cleared at once unless ``allow_clearing`` is set.
GUARDED_COUNT = 5
_CURE = "set allow_clearing: true in the placement (or the argument of the transfer) for one run"


def too_many(going: int, shown: int) -> bool:
    """Return whether clearing ``going`` of the ``shown`` slots or models at once needs ``allow_clearing``."""
    return going >= GUARDED_COUNT and going * 2 > shown


def clearing_refused(going: int, shown: int, what: str, cure: str = _CURE) -> SlotError:
    """Return the error that a clearing refused by :func:`too_many` ends with.

    :param cure: what to do if the clearing is meant.
    """
    return SlotError(
        f"{going} of {shown} {what} would be cleared at once, which is more than half: nothing was cleared. If that is "
        f"meant, {cure}"
    )
