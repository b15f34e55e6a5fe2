"""How many models share a token: the keys ``token`` and ``models_per_token``, and what sharing wins and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.placements.problems import ProblemCollector

__all__ = ["checked_models_per_token", "read_sharing", "sharing_words"]

#: A link, and so a token, for each model.
_SINGLE = "single"
#: A token for up to ``models_per_token`` models.
_SHARED = "shared"
_DEFAULT_MODELS_PER_TOKEN = 25
#: Revoking one token darkens all of its models until they are healed.
_MAX_MODELS_PER_TOKEN = 100


def checked_models_per_token(value: object) -> int:
    """Return how many models may share a token; 1 for a link for each.

    :param value: a whole number, also as text.
    :raises PMEInputError: for anything else.
    """
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MAX_MODELS_PER_TOKEN:
        return int(text)
    raise PMEInputError(
        f"give a number from 1 to {_MAX_MODELS_PER_TOKEN}: when a token is revoked, all of its models are dark until "
        "they get another one.",
        "models_per_token",
    )


def read_sharing(entry: Mapping[str, Any], problems: ProblemCollector) -> int:
    """Return how many models of a placement may share a token; where its keys are wrong, that is in the problems."""
    token, given = entry.get("token", _SINGLE), entry.get("models_per_token", _DEFAULT_MODELS_PER_TOKEN)
    if token not in (_SINGLE, _SHARED):
        problems.add("token", f"give {_SHARED} for tokens of several models, or {_SINGLE} for a link for each")
    elif token == _SINGLE and "models_per_token" in entry:
        problems.add("models_per_token", f"has an effect with token: {_SHARED} alone; add that, or remove it")
    try:
        return checked_models_per_token(given) if token == _SHARED else 1
    except PMEInputError as error:
        problems.add_error(error.field, error)
        return 1


def sharing_words(models_per_token: int, models: int | None) -> str:
    """Return what shared tokens win and cost, in a sentence; empty for single links.

    :param models: how many models there are; ``None`` if a query finds them.
    """
    if models_per_token == 1:
        return ""
    count = 1000 if models is None else models
    tokens = -(-count // models_per_token)
    return (
        f"up to {models_per_token} models share a token, so {count:,} models take {tokens:,} tokens instead of "
        f"{count:,} links, and as much less of the requests; one token that leaks or is revoked darkens up to "
        f"{models_per_token} models until they are healed, and whoever is shown one of them has the token of all."
    )
