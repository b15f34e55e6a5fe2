"""How long a command goes on while nothing is confirmed: a person waits for it, and the next sweep goes on."""

from __future__ import annotations

import time
from datetime import timedelta

__all__ = ["MAX_WAIT", "interactive_deadline"]

#: The longest a command goes on without a confirmed revocation.
MAX_WAIT = timedelta(seconds=7)
#: Where loading the package took long, on a busy machine, it goes on for less, so that its answer comes within 15 s of
#: its start; and for this long at least.
_MIN_WAIT = timedelta(seconds=2.5)
_ANSWER_BY = timedelta(seconds=11)
_STARTED = time.monotonic()


def interactive_deadline() -> timedelta:
    """Return how long the command may go on from now."""
    left = _ANSWER_BY - timedelta(seconds=time.monotonic() - _STARTED)
    return min(MAX_WAIT, max(_MIN_WAIT, left))
