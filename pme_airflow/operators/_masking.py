"""Keep raw tokens that a user passes to a task out of its log and its rendered fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk.log import mask_secret

from pme_airflow.leaks.encodings import redact, tokens_in

__all__ = ["mask_tokens", "redacted"]

#: How many tokens are masked: Airflow searches each line of a log for each of them.
_MOST_MASKED = 50


def mask_tokens(values: Iterable[object]) -> None:
    """Mask raw tokens in the logs of this task and its supervisor from then on."""
    tokens = (token for value in values if isinstance(value, str) for token in tokens_in(value, bare=True))
    for token in list(dict.fromkeys(tokens))[:_MOST_MASKED]:
        mask_secret(token)


def redacted(value: Any) -> Any:
    """Return a rendered field with the tokens in its strings masked."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redacted(key): redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(redacted(inner) for inner in value)
    return value
