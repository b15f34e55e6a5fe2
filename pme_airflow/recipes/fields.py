"""Read the fields of a recipe, and collect what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.recipes.model import PUBLIC_VALUES, SECRET_VALUES
from pme_airflow.recipes.templates import Template

__all__ = ["Fields", "is_own_name"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
#: Names that mean something else in a template.
_TAKEN = frozenset(
    {
        *PUBLIC_VALUES,
        *SECRET_VALUES,
        "connection",
        "and",
        "else",
        "false",
        "if",
        "in",
        "is",
        "none",
        "not",
        "or",
        "true",
    }
)
#: A placeholder of the single-request form, which would be written as it stands.
_SINGLE_BRACES = re.compile(r"(?<!\{)\{(model_id|audience|link_id|link|access_token|valid_until)\}(?!\})")
#: The most values in the JSON of one request, and how deep they may be nested.
_MAX_VALUES = 2000
_MAX_DEPTH = 20


@dataclass
class _Walk:
    """What reads the texts of one body, and how many values were read."""

    text: Callable[[Any, str], Any]
    count: int = 0


@dataclass
class Fields:
    """Collects problems by the key they are about.

    :param problems: pairs of a key and what is wrong with it.
    """

    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, key: str, problem: str) -> None:
        """Add what is wrong with a key."""
        self.problems.append((key, problem))

    def unknown(self, given: Mapping[Any, Any], known: frozenset[str], where: str) -> None:
        """Add the keys that are unknown."""
        for key in sorted(set(map(str, given)) - known):
            self.add(f"{where}.{key[:64]}", f"is unknown; the keys are {', '.join(sorted(known))}")

    def mapping(self, raw: Any, where: str) -> dict[str, Any]:
        """Return a mapping with texts as its keys; empty if there is none."""
        if raw is None:
            return {}
        if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
            self.add(where, "give a mapping with texts as its keys")
            return {}
        return dict(raw)

    def template(self, raw: Any, where: str) -> Template | None:
        """Read a template."""
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            self.add(where, "give a text")
            return None
        text = str(raw)
        single = _SINGLE_BRACES.search(text)
        if single:
            self.add(where, f"{single[0]} is not filled in here; write {{{{ {single[1]} }}}}")
        try:
            return Template(text)
        except PMEInputError as error:
            self.add(where, str(error))
            return None

    def templates(self, raw: Any, where: str) -> dict[str, Template]:
        """Read a mapping of templates."""
        read = {name: self.template(value, f"{where}.{name}") for name, value in self.mapping(raw, where).items()}
        return {name: text for name, text in read.items() if text is not None}

    def json(self, raw: Any, where: str, text: Callable[[Any, str], Any] | None = None) -> Any:
        """Read JSON whose texts are templates. YAML's aliases make a billion values of a kilobyte: they are counted.

        :param text: reads each text; if omitted, as :meth:`template` does.
        """
        return self._json(raw, where, 0, _Walk(text or self.template))

    def _json(self, raw: Any, where: str, depth: int, walk: _Walk) -> Any:
        walk.count += 1
        if walk.count > _MAX_VALUES or depth > _MAX_DEPTH:
            if walk.count <= _MAX_VALUES + 1:
                self.add(where, f"has more than {_MAX_VALUES} values, or more than {_MAX_DEPTH} levels")
                walk.count = _MAX_VALUES + 1
            return None
        if isinstance(raw, str):
            return walk.text(raw, where)
        if isinstance(raw, Mapping):
            inner = self.mapping(raw, where)
            return {key: self._json(value, f"{where}.{key}", depth + 1, walk) for key, value in inner.items()}
        if isinstance(raw, list | tuple):
            return [self._json(value, f"{where}[{n}]", depth + 1, walk) for n, value in enumerate(raw)]
        if raw is None or isinstance(raw, bool | int | float):
            return raw
        self.add(where, f"a {type(raw).__name__} is no JSON; put it in quotes")
        return None


def is_own_name(name: str) -> bool:
    """Return whether a recipe may give a step or text this name."""
    return bool(_NAME.match(name)) and name not in _TAKEN
