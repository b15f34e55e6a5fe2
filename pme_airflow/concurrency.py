"""How many slots of a target are worked on at the same time, as users write it."""

from __future__ import annotations

from pme_airflow.errors import PMEInputError

__all__ = ["MAX_AT_ONCE", "read_at_once"]

#: More threads than this only wait for each other in one Python process.
MAX_AT_ONCE = 32


def read_at_once(value: object) -> int:
    """Return the value of ``at_once``.

    :raises PMEInputError: if it is not a whole number from 1 to 32.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_AT_ONCE:
        raise PMEInputError(f"give a whole number from 1 to {MAX_AT_ONCE}", "at_once")
    return value
