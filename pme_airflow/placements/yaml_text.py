"""Decode the YAML of placements, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import yaml

from pme_airflow.errors import PMEInputError
from pme_airflow.garbage import fewer_collections
from pme_airflow.leaks.encodings import redact
from pme_airflow.printable import printable

__all__ = ["MAX_ENTRIES", "read_yaml"]

#: A larger file names its models by a query. YAML takes 1 to 2 s for a million entries.
MAX_ENTRIES = 100_000
#: The line in which a node begins, counted from 0.
_line_of = attrgetter("start_mark.line")
_MERGE = "tag:yaml.org,2002:merge"
#: How much of a key an error message has, in characters.
_MAX_KEY = 80
#: The line of a node, from 0.
_line_of = attrgetter("start_mark.line")
#: The safe loader in C where PyYAML has it: 10,000 model ids take a tenth of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, name: str, *, unique_keys: bool = True) -> Any:
    """Return the value of a text.

    :param name: the file's name, for error messages.
    :param unique_keys: whether a key that a mapping has twice is refused; else the last one counts. A key that a merge
        (``<<``) brings may be given again.
    :raises PMEInputError: if it is no YAML, has a key twice, or has more entries than anybody writes.
    """
    if text.count(",") + text.count("\n") > MAX_ENTRIES:
        raise PMEInputError(
            f"placements: {name} has over {MAX_ENTRIES} lines and commas, and was not read. Name the models by a "
            'query (models: {query: "*"}).'
        )
    try:
        with fewer_collections():
            return _value_of(text, name, unique_keys)
    except PMEInputError:
        raise
    except yaml.YAMLError as error:
        position = getattr(error, "problem_mark", None)
        where = f" at line {position.line + 1}" if position else ""
    except (ValueError, RecursionError) as error:  # a date such as 2026-13-45, or lists nested thousands deep
        where = f" ({type(error).__name__})"
    raise PMEInputError(f"placements: {name} is no YAML{where}.")


def _value_of(text: str, name: str, unique_keys: bool) -> Any:
    """Return the value of a text as ``yaml.load`` does, with its keys checked in between."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if unique_keys:
            _check_keys(loader, root, name)
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _check_keys(loader: Any, root: yaml.Node | None, name: str) -> None:
    """Raise if a mapping has a key twice, of which YAML would use the last one."""
    for mapping in _mappings(root):
        lines: dict[str, int] = {}
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            text, line = str(loader.construct_object(key)), _line_of(key) + 1
            if text in lines:
                raise PMEInputError(
                    f"placements: {name}: the key {printable(redact(text[:_MAX_KEY]))} stands twice in one mapping, in "
                    f"lines {lines[text]} and {line}. Keep one of them."
                )
            lines[text] = line


def _mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Yield all mappings, those that aliases name once, in the order of the text as far as one holds the other."""
    seen: set[int] = set()
    pending = [] if root is None else [root]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.ScalarNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            pending += [value for _, value in node.value]
        else:
            pending += node.value
