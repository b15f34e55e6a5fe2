"""How long a campaign is: short in ``make test``, whole behind its own make target."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

FULL = os.environ.get("PME_FULL") == "1"


def scaled(short: T, full: T) -> T:
    """One of two sizes."""
    return full if FULL else short
