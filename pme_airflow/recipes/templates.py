"""Templates of a recipe: text with Jinja2 expressions in it, whose references are known before they are rendered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError, Undefined, nodes
from jinja2.environment import TemplateExpression
from markupsafe import Markup, escape

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.recipes.sandbox import ALLOWED_NODES, ENVIRONMENT, MAX_TEXT, as_text

__all__ = ["Escape", "Reference", "Scope", "Template", "Text", "escape_html"]

#: The longest template in characters, and how many parts its expressions may have.
_MAX_TEMPLATE = 16_384
_MAX_NODES = 200
#: A tag or comment: a text with one in it is HTML.
_TAG = re.compile(r"<[A-Za-z!/]")
_REASONS: Mapping[str, str] = {
    "Call": "calls something; use a filter",
    "Concat": "joins texts with ~; write two expressions one after the other",
    "For": "has a loop; a step sends one request",
    "Mul": "multiplies; add or subtract",
}

Scope = Mapping[str, Any]
Escape = Callable[[Any], str]


@dataclass(frozen=True)
class Reference:
    """A value that a template names.

    :param name: the first name, such as a step's.
    :param path: what follows it, as far as it is constant.
    """

    name: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return ".".join(map(str, (self.name, *self.path)))


class Text:
    """A text that is filled in for each link.

    :ivar references: the values that it names.
    :ivar is_html: whether values are escaped as HTML in it.
    """

    references: tuple[Reference, ...] = ()
    is_html = False

    def render(self, scope: Scope, escape: Escape = as_text) -> str:
        """Return the text with its values, each escaped.

        :raises SlotError: if a value is missing or too long; the message names it, and never contains it.
        """
        raise NotImplementedError

    def value(self, scope: Scope) -> Any:
        """Return the text; or, where the whole of it is one expression, the value with its type."""
        return self.render(scope)


class Template(Text):
    """A text with Jinja2 expressions.

    :param source: as the recipe's author wrote it.
    :raises PMEInputError: if it is no template, too long, or contains what a recipe may not do.
    """

    def __init__(self, source: str) -> None:
        if len(source) > _MAX_TEMPLATE:
            raise PMEInputError(f"is longer than {_MAX_TEMPLATE} characters")
        self._nodes = _parse(source)
        expressions = [node for node in self._nodes if not isinstance(node, nodes.TemplateData)]
        _check_nodes(expressions)
        self.references = tuple(reference for node in expressions for reference in _references(node))
        self.is_html = any(_TAG.search(n.data) for n in self._nodes if isinstance(n, nodes.TemplateData))

    def render(self, scope: Scope, escape: Escape = as_text) -> str:
        chosen = escape_html if self.is_html and escape is as_text else escape
        made: list[str] = []
        size = 0
        for part in self._parts:
            made.append(part if isinstance(part, str) else chosen(self._evaluate(part, scope)))
            size += len(made[-1])
            if size > MAX_TEXT:
                raise SlotError(f"a template makes a text of more than {MAX_TEXT} characters: keep less of the answer")
        return "".join(made)

    def value(self, scope: Scope) -> Any:
        if len(self._parts) == 1 and not isinstance(self._parts[0], str):
            found = self._evaluate(self._parts[0], scope)
            return str(found) if isinstance(found, Markup) else found
        return self.render(scope)

    def markup(self, scope: Scope) -> str:
        """Return the text for use in other templates: as markup, which is not escaped again, if it is HTML."""
        text = self.render(scope)
        return Markup(text) if self.is_html else text  # noqa: S704 - its values were escaped

    @cached_property
    def _parts(self) -> tuple[str | TemplateExpression, ...]:
        return tuple(n.data if isinstance(n, nodes.TemplateData) else _compile(n) for n in self._nodes)

    def _evaluate(self, expression: TemplateExpression, scope: Scope) -> Any:
        try:
            found = expression(scope)
        except SlotError:
            raise
        except Exception as error:  # noqa: BLE001 - the text of an error may contain what an answer contained
            found, kind = None, type(error).__name__
        else:
            kind = "it is missing" if isinstance(found, Undefined) else ""
        if kind:
            names = ", ".join(sorted({str(reference) for reference in self.references})) or "a constant"
            raise SlotError(f"a template with {names} cannot be filled in ({kind})")
        return found


def escape_html(value: Any) -> str:
    """Return a value as HTML; what is HTML already stays as it is."""
    return str(value if isinstance(value, Markup) else escape(as_text(value)))


def _parse(source: str) -> list[nodes.Expr]:
    """Return the texts and expressions of a template, in their order."""
    try:
        tree = ENVIRONMENT.parse(source)
    except TemplateError as error:
        raise PMEInputError(f"is no template (line {getattr(error, 'lineno', 1)}); check its braces") from None
    except RecursionError:
        raise PMEInputError("is nested too deep") from None
    found: list[nodes.Expr] = []
    for node in tree.body:
        if not isinstance(node, nodes.Output):
            kind = type(node).__name__
            raise PMEInputError(_REASONS.get(kind, f"has a block of Jinja2 ({kind.lower()}); write expressions alone"))
        found += node.nodes
    return found


def _check_nodes(expressions: list[nodes.Expr]) -> None:
    count = 0
    pending: list[nodes.Node] = list(expressions)
    while pending:
        node = pending.pop()
        count += 1
        if not isinstance(node, ALLOWED_NODES):
            kind = type(node).__name__
            raise PMEInputError(_REASONS.get(kind, f"uses Jinja2's {kind}, which recipes do not have"))
        if isinstance(node, nodes.Filter) and node.name not in ENVIRONMENT.filters:
            raise PMEInputError(f"has an unknown filter; the filters are {', '.join(sorted(ENVIRONMENT.filters))}")
        if isinstance(node, nodes.Test) and node.name not in ENVIRONMENT.tests:
            raise PMEInputError(f"has an unknown test; the tests are {', '.join(sorted(ENVIRONMENT.tests))}")
        pending += node.iter_child_nodes()
    if count > _MAX_NODES:
        raise PMEInputError(f"has more than {_MAX_NODES} parts")


def _references(expression: nodes.Node) -> list[Reference]:
    """Return the values that an expression names.

    :raises PMEInputError: for an attribute of anything but a name, and for one of Python's own.
    """
    found: list[Reference] = []
    pending = [expression]
    while pending:
        node = pending.pop()
        if isinstance(node, nodes.Getattr | nodes.Getitem | nodes.Name):
            reference, dynamic = _chain(node)
            found.append(reference)
            pending += dynamic
        else:
            pending += node.iter_child_nodes()
    return found


def _chain(node: nodes.Node) -> tuple[Reference, list[nodes.Node]]:
    """Return what a name and the attributes after it refer to, and the expressions in its brackets."""
    steps: list[str | int | None] = []
    dynamic: list[nodes.Node] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        key = node.attr if isinstance(node, nodes.Getattr) else node.arg
        constant = key.value if isinstance(key, nodes.Const) else key
        if isinstance(constant, str) and constant.startswith("__"):
            raise PMEInputError("reaches for Python's own attributes, which recipes do not have")
        if isinstance(constant, nodes.Node):
            dynamic.append(constant)
        steps.append(constant if isinstance(constant, str | int) else None)
        node = node.node
    if not isinstance(node, nodes.Name):
        raise PMEInputError("takes an attribute of something that is no step")
    path = steps[::-1]
    known = path[: path.index(None)] if None in path else path
    return Reference(node.name, tuple(step for step in known if step is not None)), dynamic


def _compile(expression: nodes.Expr) -> TemplateExpression:
    body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)]
    return TemplateExpression(ENVIRONMENT.from_string(nodes.Template(body, lineno=1)), undefined_to_none=False)
