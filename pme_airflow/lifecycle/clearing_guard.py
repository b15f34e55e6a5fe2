"""The guard against clearing too much at once: a mistake in a list must not empty a site."""

from __future__ import annotations

from pme_airflow.errors import SlotError

__all__ = ["GUARDED_COUNT", "clearing_refused", "too_many"]

#: Fewer than this are always cleared; of more, at most half are cleared at once unless ``allow_clearing`` is set.
GUARDED_COUNT = 5


def too_many(going: int, shown: int) -> bool:
    """Return whether so many of what is shown are more than may be cleared at once without ``allow_clearing``."""
    return going >= GUARDED_COUNT and going * 2 > shown


def clearing_refused(going: int, shown: int, what: str) -> SlotError:
    """Return the error for what :func:`too_many` stopped."""
    return SlotError(
        f"{going} of {shown} {what} would be cleared at once, which is more than half: nothing was cleared. If that is "
        "meant, set allow_clearing: true in the placement (or the argument of the transfer) for one run"
    )
