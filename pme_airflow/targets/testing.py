"""Examine a target of your own in a test: what each call must keep, and nights of publishing through faults.

Write a :class:`Place` that makes the target and shows what readers see, and call :func:`check_target`. Nothing here
needs pytest; a target that does wrong raises ``AssertionError``, which says what it did.
"""

from __future__ import annotations

from pme_airflow.dev.target_kit import (
    BehindProxy,
    Nights,
    Place,
    Proxy,
    check_contract,
    check_target,
    example_link,
    serving_proxy,
)

__all__ = [
    "BehindProxy",
    "Nights",
    "Place",
    "Proxy",
    "check_contract",
    "check_target",
    "example_link",
    "serving_proxy",
]
