"""Timestamps as text: ISO 8601 in UTC, as XCom items, the ledger's exports and published files have them."""

from __future__ import annotations

from datetime import datetime

__all__ = ["iso_text", "parse_iso"]


def iso_text(timestamp: datetime) -> str:
    """Return an aware timestamp as text; UTC is written ``Z``."""
    return timestamp.isoformat().replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """Return the timestamp that :func:`iso_text` wrote. Python 3.10 does not read the ``Z`` by itself.

    :raises ValueError: for another text.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
