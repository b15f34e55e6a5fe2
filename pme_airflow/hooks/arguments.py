"""Parse the arguments of hook methods and operators, also as Airflow's templates render them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.lifecycle.account_models import ModelQuery
from pme_airflow.model_ids import model_id_of, model_ids_of

__all__ = [
    "checked_audience",
    "empty_or_parts",
    "read_bool",
    "read_list",
    "read_literal",
    "read_mapping",
    "read_models",
]

_QUERY_KEYS = frozenset({"query", "exclude", "allow_clearing"})
#: What a template renders ``None`` and an empty value to.
_NOTHING = ("", "None")
_AUDIENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_models(models: object) -> list[str] | ModelQuery | Mapping[str, Any]:
    """Return model ids, the query of ``{"query": …, "exclude": […]}``, or a reference to models in the ledger.

    :raises PMEInputError: for anything else.
    """
    if isinstance(models, str):
        models = _parsed(models.strip())
    if isinstance(models, Mapping):
        return _query_or_reference(models)
    if isinstance(models, Sequence | set | frozenset) or hasattr(models, "__iter__"):
        return model_ids_of(models)
    raise PMEInputError(f"models: expected a list of ids or URLs, or a query, got a {type(models).__name__}.")


def empty_or_parts(models: object) -> list[Any] | None:
    """Return the batches of models that mapped tasks were given; an empty list for none; ``None`` for anything else."""
    if isinstance(models, str) and models.strip().startswith("["):
        models = _parsed(models.strip())
    if isinstance(models, str | bytes | Mapping) or not hasattr(models, "__iter__"):
        return None
    parts = list(models)
    return parts if all(isinstance(part, Mapping | list | tuple) for part in parts) else None


def _query_or_reference(models: Mapping[str, Any]) -> ModelQuery | Mapping[str, Any]:
    if "query" not in models:
        return models
    query, exclude = models["query"], models.get("exclude") or []
    allow_clearing = models.get("allow_clearing", False)
    known = isinstance(exclude, list) and isinstance(allow_clearing, bool)
    if set(models) - _QUERY_KEYS or not known or not isinstance(query, str) or not query.strip():
        raise PMEInputError(
            'a mapping must be {"query": "…"}, with "*" for all; it may also hold exclude, a list of model ids, and '
            "allow_clearing, true or false.",
            "models",
        )
    excluded = frozenset(model_id_of(model_id, "exclude") for model_id in exclude)
    return ModelQuery(query, excluded, allow_clearing)


def _parsed(text: str) -> Any:
    """Parse a string: JSON, a Python literal, or ids separated by commas or lines."""
    if text.startswith(("[", "{")):
        return _literal(text, [text])
    return [part for part in text.replace("\n", ",").split(",") if part.strip()]


def read_list(value: Any) -> list[Any]:
    """Return a list argument, also one that a template rendered into a string; ``None`` and empty are an empty list."""
    if value is None or value in _NOTHING:
        return []
    if isinstance(value, str):
        parsed = _literal(value, value) if value.lstrip().startswith("[") else value
        return parsed if isinstance(parsed, list) else [value]
    return list(value) if isinstance(value, list | tuple | set) else [value]


def read_literal(value: object) -> object:
    """Return the list or mapping that a template rendered into a string, and any other value unchanged.

    :return: the value; ``None`` for a rendered ``None`` and an empty string.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in _NOTHING:
        return None
    return _literal(text, value) if text.startswith(("[", "{")) else value


def read_mapping(value: object, name: str) -> dict[str, Any]:
    """Return a mapping, also one that a template rendered into a string; ``None`` and nothing are an empty one.

    :param name: the argument's name, for error messages.
    :raises PMEInputError: for anything else.
    """
    read = read_literal(value)
    if read is None:
        return {}
    if isinstance(read, Mapping) and all(isinstance(key, str) for key in read):
        return dict(read)
    raise PMEInputError(
        f"expected a mapping with texts as keys, got a {type(read).__name__}. A template has to render one, as JSON or "
        "as Python writes it.",
        name,
    )


def read_bool(value: object, name: str) -> bool:
    """Return a truth value, also one that a template rendered into a string.

    :raises PMEInputError: for anything else.
    """
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no", "none", ""):
        return False
    raise PMEInputError(f"{name}: expected true or false.")


def _literal(text: str, default: Any) -> Any:
    """Parse JSON or a Python literal."""
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return parse(text)
    return default


def checked_audience(audience: object) -> str:
    """Return an audience's label.

    :raises PMEInputError: if it is empty, longer than 64 characters, or has other than letters, digits, ``.``, ``_``
        and ``-``.
    """
    if isinstance(audience, str) and _AUDIENCE.fullmatch(audience):
        return audience
    raise PMEInputError("audience: give 1 to 64 letters, digits, dots, dashes or underscores, such as broker-portal.")
