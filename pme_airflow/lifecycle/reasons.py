"""Make the reasons that users give safe to store."""

from __future__ import annotations

from pme_airflow.leaks.encodings import redact

__all__ = ["stored_reason"]


def stored_reason(reason: str, default: str) -> str:
    """Return a reason as it is stored: tokens in it are masked, and an empty one is the default."""
    return redact(reason.strip()) or default
