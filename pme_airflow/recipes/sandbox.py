"""The Jinja2 environment of recipes: no loops, no calls, no Python attributes, and bounded results."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from jinja2 import StrictUndefined, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from pme_airflow.errors import SlotError

__all__ = ["ALLOWED_NODES", "ENVIRONMENT", "MAX_TEXT", "as_text", "bounded"]

#: The longest text that a template makes, in characters.
MAX_TEXT = 1024 * 1024
#: What a template may consist of. Nothing in it repeats, so that rendering takes time in proportion to its texts.
ALLOWED_NODES: tuple[type[nodes.Node], ...] = (
    nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Const, nodes.Filter, nodes.Test,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Add, nodes.Sub, nodes.Neg,
    nodes.List,
)  # fmt: skip
#: Values that have a text. A mapping or list would be written in Python's notation.
_SCALARS = (str, int, float)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Looks values up in mappings and lists alone: a method or attribute of Python is never reached."""

    intercepted_binops = frozenset({"+"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping | list):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return bounded(super().call_binop(context, operator, left, right))


def bounded(value: Any) -> Any:
    """Return a value that is not too long.

    :raises SlotError: for a text of more than :data:`MAX_TEXT` characters.
    """
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise SlotError(f"a template makes a text of more than {MAX_TEXT} characters: keep less of the answer")
    return value


def as_text(value: Any) -> str:
    """Return a value as it is written: null as nothing, true and false as JSON has them.

    :raises SlotError: for a mapping or a list.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is not None and not isinstance(value, _SCALARS):
        raise SlotError("a template names a list or mapping where a text is due: name a value in it")
    return "" if value is None else str(value)


def _escape(value: Any) -> Markup:
    """Return a value as HTML; what is HTML already stays as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(as_text(value)))  # noqa: S704 - escaped here


def _replace_between(text: Any, begin: Any, end: Any, new: Any) -> str:
    """Return a text with another one in place of what stands between two texts; these must stand in it once."""
    whole, first, last = as_text(text), as_text(begin), as_text(end)
    before, found, rest = whole.partition(first)
    _, closed, after = rest.partition(last)
    if not (first and last and found and closed) or first in after:
        problem = "does not have both texts that replace_between names, or has them twice"
        raise SlotError(f"what is at the place now {problem}: put each there once, one after the other")
    inner = _escape(new) if first.lstrip().startswith("<") else as_text(new)
    return f"{before}{first}{inner}{last}{after}"


def _set_value(mapping: Any, key: Any, value: Any) -> dict[str, Any]:
    """Return a mapping with another value under a key; the rest of it stays."""
    if not isinstance(mapping, Mapping):
        raise SlotError("set_value is used on something that is no mapping: check what is kept of the answer")
    return {**mapping, as_text(key): value}


def _strong_etag(value: Any) -> str:
    """Return an ``ETag`` if it is a strong one, which alone can be an ``If-Match`` (RFC 9110, 13.1.1)."""
    etag = as_text(value)
    return etag if etag.startswith('"') else ""


def _item(value: Any, index: int) -> Any:
    if not isinstance(value, list | str) or not value:
        raise SlotError("a template asks for an entry of something that has none: check what is kept of the answer")
    return value[index]


_FILTERS: Mapping[str, Any] = {
    "e": _escape,
    "escape": _escape,
    "first": lambda value: _item(value, 0),
    "html": _escape,
    "last": lambda value: _item(value, -1),
    "length": len,
    "lower": lambda value: as_text(value).lower(),
    "replace_between": _replace_between,
    "safe": lambda value: Markup(as_text(value)),  # noqa: S704 - the recipe's author says that it is HTML
    "set_value": _set_value,
    "strong_etag": _strong_etag,
    "tojson": lambda value: json.dumps(value, ensure_ascii=False),
    "trim": lambda value: as_text(value).strip(),
    "upper": lambda value: as_text(value).upper(),
    "urlencode": lambda value: quote(as_text(value), safe=""),
}


def _bounding(function: Any) -> Any:
    return lambda *arguments: bounded(function(*arguments))


def _make() -> _Sandbox:
    environment = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True)
    own = {name: environment.filters[name] for name in ("d", "default", "int", "string")}
    environment.filters = {**own, **{name: _bounding(function) for name, function in _FILTERS.items()}}
    environment.tests = {name: environment.tests[name] for name in ("defined", "none", "number", "string", "in")}
    environment.globals = {}
    return environment


ENVIRONMENT = _make()
