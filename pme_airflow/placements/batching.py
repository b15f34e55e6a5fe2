"""Split an account's models into batches for mapped tasks."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["batches"]

#: Models a batch: enough to justify the few seconds that its tasks take to start, at most a few minutes of work.
_MIN_SIZE, _MAX_SIZE = 1000, 5000
#: How many batches to aim for, so that a handful of workers share them. Above 80,000 models `_MAX_SIZE` makes more.
_PREFERRED_COUNT = 16


def batches(model_ids: Sequence[str]) -> list[list[str]]:
    """Split models into batches of about equal size, 1,000 to 5,000 models each; up to 1,000 stay in one batch."""
    size = min(_MAX_SIZE, max(_MIN_SIZE, -(-len(model_ids) // _PREFERRED_COUNT)))
    count = -(-len(model_ids) // size)
    return [list(model_ids[number::count]) for number in range(count)]
