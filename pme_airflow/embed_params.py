"""Showcase parameters that are appended to links: ``play=1&qs=1&brand=0``, checked so that none can change the link."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pme_airflow.errors import PMEInputError
from pme_airflow.model_ids import is_model_id, model_id_of

__all__ = ["EmbedParams", "query_pairs", "with_params"]

_ALL = "*"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}\Z", re.ASCII)
_VALUE = re.compile(r"(?:[A-Za-z0-9._~,:*@!|/+-]|%[0-9A-Fa-f]{2})*\Z", re.ASCII)
#: What names the model, and what opens it, is the API's to write.
_RESERVED = frozenset({"access_token", "auth", "m", "model"})
#: What a value must not hold, also not escaped: it could end the attribute or the parameter that it is written into.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'`<>\\&#]|(?:javascript|vbscript|data)\s*:", re.IGNORECASE)
#: The longest query, in characters: a link has to fit into 2,048.
_MAX_LENGTH = 600

Pairs = Mapping[str, str]


@dataclass(frozen=True)
class EmbedParams:
    """The parameters of a placement's links.

    :param general: those of all models, by name, escaped as a URL has them.
    :param single: those of single models, which win over the general ones of the same name.
    """

    general: Pairs = field(default_factory=dict)
    single: Mapping[str, Pairs] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: object, name: str = "params") -> EmbedParams:
        """Read parameters: a query, or a mapping of names to values and of model ids to queries or mappings.

        :param value: ``"play=1&qs=1"``, ``{"play": 1, "yyHDFKzPzvN": "ss=12"}`` or
            ``{"*": "play=1", "yyHDFKzPzvN": {"ss": 12}}``.
        :param name: the setting's name, for error messages.
        :raises PMEInputError: for a name or value that a link must not get, under the parameter's own name.
        """
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            return cls(_read(value, name))
        own = {key: given for key, given in value.items() if not _names_models(key)}
        general = _read(own, name) | _read(value.get(_ALL, {}), f"{name}.{_ALL}")
        models = [key for key in value if _names_models(key) and key != _ALL]
        return cls(general, {model_id_of(key, name): _read(value[key], f"{name}.{model_id_of(key)}") for key in models})

    def of(self, model_id: str) -> str:
        """Return a model's parameters as the query of a URL; empty where there are none."""
        return "&".join(f"{key}={value}" for key, value in {**self.general, **self.single.get(model_id, {})}.items())

    def as_json(self) -> dict[str, Any]:
        """Return what :meth:`parse` reads; empty where there are no parameters."""
        general = {_ALL: dict(self.general)} if self.general else {}
        return {**general, **{model_id: dict(pairs) for model_id, pairs in self.single.items()}}

    def __bool__(self) -> bool:
        return bool(self.general or self.single)


def _names_models(key: object) -> bool:
    return isinstance(key, str) and (key == _ALL or "://" in key or is_model_id(key.strip()))


def _read(value: object, name: str) -> dict[str, str]:
    if isinstance(value, str):
        pairs: Sequence[tuple[object, object]] = query_pairs(value.strip().lstrip("?&"))
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        raise PMEInputError(f"a {type(value).__name__} is no query. Give one such as play=1&qs=1, or a mapping.", name)
    read = dict(_checked(key, given, name) for key, given in pairs)
    if sum(len(key) + len(given) + 2 for key, given in read.items()) > _MAX_LENGTH:
        raise PMEInputError(f"is longer than {_MAX_LENGTH} characters. Leave parameters out.", name)
    return read


def _checked(key: object, given: object, name: str) -> tuple[str, str]:
    if not isinstance(key, str) or not _NAME.match(key):
        raise PMEInputError("a name is not one of a parameter. Give letters and digits, as in play=1&qs=1.", name)
    where = f"{name}.{key}"
    if key.lower() in _RESERVED:
        raise PMEInputError("is a part of every link, which the API makes. Remove it.", where)
    if isinstance(given, bool):
        given = int(given)
    text = str(given) if isinstance(given, str | int | float) else ""
    if not isinstance(given, str | int | float) or not _VALUE.match(text) or _is_unsafe(text):
        raise PMEInputError(
            "the value is none that a link can have. Give letters, digits and . _ ~ , : * @ ! | / + -, and escape "
            "others as %20.",
            where,
        )
    return key, text


def _is_unsafe(text: str) -> bool:
    plain = unquote(text)
    return bool(_UNSAFE.search(plain) or _UNSAFE.search(unquote(plain)))


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Return the names and values of a query as they are written, escapes included."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(key, value) for key, _, value in pairs]


def with_params(url: str, params: str) -> str:
    """Return a URL with parameters appended to its query; one that the URL has already is replaced.

    :param url: a link.
    :param params: the query that :meth:`EmbedParams.of` returns; empty for none.
    """
    if not params:
        return url
    rest, hash_sign, fragment = url.partition("#")
    path, _, query = rest.partition("?")
    names = {key for key, _ in query_pairs(params)}
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in names]
    return f"{path}?{'&'.join([*kept, params])}{hash_sign}{fragment}"
