"""Decode the YAML of placements, in bounded time and memory."""

from __future__ import annotations

from typing import Any

import yaml

from pme_airflow.errors import PMEInputError
from pme_airflow.garbage import fewer_collections

__all__ = ["MAX_ENTRIES", "read_yaml"]

#: A larger file names its models by a query. YAML takes 1 to 2 s for a million entries.
MAX_ENTRIES = 100_000
#: The safe loader in C where PyYAML has it: 10,000 model ids take a tenth of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, name: str) -> Any:
    """Return the value of a text.

    :param name: the file's name, for error messages.
    :raises PMEInputError: if it is no YAML, or has more entries than anybody writes.
    """
    if text.count(",") + text.count("\n") > MAX_ENTRIES:
        raise PMEInputError(
            f"placements: {name} has over {MAX_ENTRIES} lines and commas, and was not read. Name the models by a "
            'query (models: {query: "*"}).'
        )
    try:
        with fewer_collections():
            return yaml.load(text, _Loader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        position = getattr(error, "problem_mark", None)
        where = f" at line {position.line + 1}" if position else ""
    except (ValueError, RecursionError) as error:  # a date such as 2026-13-45, or lists nested thousands deep
        where = f" ({type(error).__name__})"
    raise PMEInputError(f"placements: {name} is no YAML{where}.")
