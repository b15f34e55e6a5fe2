"""Check the form of ``kind: http`` that has one request in place of steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pme_airflow.recipes.fields import Fields
from pme_airflow.recipes.model import PUBLIC_VALUES
from pme_airflow.recipes.step_parsing import METHODS, is_header, read_statuses

__all__ = ["check_request", "check_timeout"]

_VALUES = (*PUBLIC_VALUES, "link", "access_token", "valid_until")
#: What shows a space to a reader: one of them must be sent.
_SHOWN = frozenset({"link", "access_token"})
_PLACEHOLDER = re.compile(rf"\{{({'|'.join((*_VALUES, 'name'))})\}}")
#: A placeholder of a recipe, which would be sent as it stands.
_DOUBLE_BRACES = re.compile(rf"\{{\{{-?\s*({'|'.join((*_VALUES, 'name'))})\b")
_SPACES = "{spaces}"
#: The longest wait for an answer, in seconds.
_MAX_TIMEOUT = 3600
_WRITING = tuple(method for method in METHODS if method not in ("GET", "HEAD"))


def check_request(options: Mapping[str, Any], fields: Fields) -> None:
    """Add what is wrong with a request, before a link is minted for it. A key that is missing is not looked at."""
    form = _Form(options, fields)
    form.check_types()
    group = options.get("group", False)
    if group is True:
        form.check_group()
    elif group is False and "each" not in options:
        form.check_single()
    else:  # whether it is one request for each slot or for all of them has to be known first
        return
    if not fields.problems and "json" in options and not form.sends_link:
        key = "each" if "each" in options else "json"
        braces = "" if key == "each" else ", or in endpoint or headers"
        fields.add(key, f"has no {{link}} or {{access_token}} in it{braces}, so that no link would be shown")


def check_timeout(options: Mapping[str, Any], fields: Fields) -> None:
    """Add what is wrong with ``timeout``, if it is given."""
    timeout = options.get("timeout", 30)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _MAX_TIMEOUT:
        fields.add("timeout", f"give seconds as a number, over 0 and at most {_MAX_TIMEOUT}")


class _Form:
    """A single request, with the names of the values that its templates have.

    :param fields: collects what is wrong.
    """

    def __init__(self, options: Mapping[str, Any], fields: Fields) -> None:
        self._options = options
        self._fields = fields
        self._named: dict[str, set[str]] = {}
        self._has_list = False

    @property
    def sends_link(self) -> bool:
        """Whether a link or its token is sent; of a list, in what it has of each space."""
        group = self._options.get("group") is True
        keys = ("each",) if group else ("endpoint", "headers", "json")
        return (group and "each" not in self._options) or any(self._named.get(key, set()) & _SHOWN for key in keys)

    def check_types(self) -> None:
        """Check each key's type, and find what its templates name."""
        options, fields = self._options, self._fields
        method = options.get("method", "PATCH")
        if not isinstance(method, str) or method.upper() not in _WRITING:
            fields.add("method", f"give one of {', '.join(_WRITING)}")
        for key in ("endpoint", "read_endpoint"):
            if options.get(key) is not None or (key == "endpoint" and key in options):
                self._text(options[key], key, key)
        for name, value in fields.mapping(options.get("headers"), "headers").items():
            if not is_header(name):
                fields.add("headers", "names a header that is none, or that cannot be set")
            self._text(value, f"headers.{name}", "headers")
        read_statuses(options.get("expected_statuses", [200]), "expected_statuses", fields)
        check_timeout(options, fields)
        for key in ("json", "clear_json", "each"):
            fields.json(options.get(key), key, self._reader(key))

    def check_single(self) -> None:
        """Check a request that is sent for each slot."""
        for name in sorted(self._named.get("clear_json", set()) - {*PUBLIC_VALUES[:2]}):
            self._fields.add(
                "clear_json", f"{{{name}}} is not filled in there; name {{model_id}} and {{audience}} alone"
            )

    def check_group(self) -> None:
        """Check a request that is sent for all models of an audience."""
        for key in ("endpoint", "read_endpoint", "headers", "json"):
            if self._named.get(key, set()) - {"audience"}:
                self._fields.add(
                    key, "names one model, and with group: true one request is for all of them; name {audience} alone"
                )
        if "json" in self._options and not self._has_list:
            self._fields.add("json", f"has no text {_SPACES}, in whose place the list of spaces is sent")

    def _reader(self, key: str) -> Callable[[Any, str], None]:
        return lambda value, where: self._text(value, where, key)

    def _text(self, value: Any, where: str, key: str) -> None:
        """Check one text, and add what it names to what its key does."""
        if not isinstance(value, str):
            self._fields.add(where, f"a {type(value).__name__} is no text; put it in quotes")
            return
        self._has_list |= key == "json" and value == _SPACES
        double = _DOUBLE_BRACES.search(value)
        if double:
            self._fields.add(where, f"{{{{ {double[1]} }}}} is not filled in without steps; write {{{double[1]}}}")
        self._named.setdefault(key, set()).update(_PLACEHOLDER.findall(value))
