"""Read one step of a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.recipes.answers import MISSING, Expectation, Keep, Path, read_path
from pme_airflow.recipes.fields import Fields, is_own_name
from pme_airflow.recipes.model import CONFLICT_STATUSES, BodyKind, Step
from pme_airflow.recipes.templates import Template

__all__ = ["METHODS", "is_header", "read_statuses", "read_step"]

_KEYS = frozenset(
    {
        "anonymous", "answer", "conflict", "endpoint", "expected_answer", "expected_statuses", "form", "headers",
        "json", "keep", "method", "name", "when",
    }
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_ANSWERS = ("json", "text")
#: The characters of a header's name (RFC 9110, 5.6.2), and headers that the client itself sends.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
_OWN_HEADERS = frozenset({"connection", "content-length", "host", "transfer-encoding"})
#: Addresses with a host, and parts of a path that lead out of it, escaped or not.
_ANOTHER_HOST = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:|//|\\)|[^?]*://")
_PARENT = re.compile(r"(?:^|[/\\])(?:\.|%2e){2}(?:[/\\?#]|$)", re.IGNORECASE)
_MAX_KEPT_NAMES = 20


def read_step(raw: Any, where: str, index: int, fields: Fields) -> Step | None:
    """Read a step; ``None`` if it is none at all."""
    if not isinstance(raw, Mapping):
        fields.add(where, "give a mapping with the endpoint of a request")
        return None
    fields.unknown(raw, _KEYS, where)
    body = _read_body(raw, where, fields)
    conflict = _Conflict.of(raw.get("conflict"), f"{where}.conflict", fields)
    return Step(
        name=_read_name(raw, where, index, fields),
        method=_read_method(raw, where, body.kind, fields),
        endpoint=_read_endpoint(raw.get("endpoint"), f"{where}.endpoint", fields),
        headers=_read_headers(raw.get("headers"), f"{where}.headers", fields),
        body_kind=body.kind,
        body=body.content,
        expected=read_statuses(
            raw.get("expected_statuses", [200, 201, 202, 204]), f"{where}.expected_statuses", fields
        ),
        keep=_read_keep(raw.get("keep"), f"{where}.keep", fields),
        when=fields.template(raw["when"], f"{where}.when") if raw.get("when") is not None else None,
        anonymous=_flag(raw, "anonymous", where, fields),
        accepts_text=_read_answer(raw, where, fields) == "text",
        conflict_statuses=CONFLICT_STATUSES | conflict.statuses,
        conflicts=conflict.values,
        required=_expectations(raw.get("expected_answer"), f"{where}.expected_answer", fields),
    )


def _read_name(raw: Mapping[str, Any], where: str, index: int, fields: Fields) -> str:
    name = raw.get("name", f"step_{index + 1}")
    if not isinstance(name, str) or not is_own_name(name):
        fields.add(f"{where}.name", "give a name of small letters, digits and underscores that is not taken")
        return f"step_{index + 1}"
    return name


def _read_method(raw: Mapping[str, Any], where: str, body: BodyKind, fields: Fields) -> str:
    method = str(raw.get("method") or ("GET" if body is BodyKind.NONE else "")).upper()
    if method not in METHODS:
        fields.add(f"{where}.method", f"give one of {', '.join(METHODS)}")
    elif body is not BodyKind.NONE and method in ("GET", "HEAD"):
        fields.add(f"{where}.method", f"{method} has no body; give the method that sends it")
    return method


def _read_endpoint(raw: Any, where: str, fields: Fields) -> Template:
    endpoint = fields.template(raw, where) if raw is not None else None
    if raw is None:
        fields.add(where, "is missing; give the path below the connection's address")
    text = str(raw)
    if _ANOTHER_HOST.match(text):
        fields.add(where, "names another host; give a path below the connection's address")
    elif _PARENT.search(text) or "\\" in text or "#" in text:
        fields.add(where, "has a part that is no path below the connection's address, such as .. or #")
    elif any(c.isspace() for c in re.sub(r"\{\{.*?\}\}", "", text, flags=re.DOTALL)):
        fields.add(where, "has a space outside of {{ }}; write %20")
    return endpoint or Template("")


def _read_headers(raw: Any, where: str, fields: Fields) -> dict[str, Template]:
    headers = fields.templates(raw, where)
    for name in headers:
        if not is_header(name):
            fields.add(where, "names a header that is none, or that cannot be set")
    return headers


def is_header(name: str) -> bool:
    """Return whether a name is one of a header that can be set."""
    return bool(_HEADER.match(name)) and name.lower() not in _OWN_HEADERS


@dataclass(frozen=True)
class _Body:
    kind: BodyKind
    content: Any = None


def _read_body(raw: Mapping[str, Any], where: str, fields: Fields) -> _Body:
    if "json" in raw and "form" in raw:
        fields.add(where, "has both json and form; a request has one body")
    if "form" in raw:
        return _Body(BodyKind.FORM, fields.templates(raw["form"], f"{where}.form"))
    if "json" in raw:
        return _Body(BodyKind.JSON, fields.json(raw["json"], f"{where}.json"))
    return _Body(BodyKind.NONE)


def _read_answer(raw: Mapping[str, Any], where: str, fields: Fields) -> str:
    answer = raw.get("answer", "json")
    if answer not in _ANSWERS:
        fields.add(f"{where}.answer", "give json or text")
        return "json"
    if answer == "text" and (raw.get("expected_answer") or _has(raw.get("conflict"), "answer") or _keeps_values(raw)):
        fields.add(f"{where}.answer", "is text, of which headers can be kept, and no values kept or compared")
    return str(answer)


def _has(raw: Any, key: str) -> bool:
    return isinstance(raw, Mapping) and bool(raw.get(key))


def _keeps_values(raw: Mapping[str, Any]) -> bool:
    """Return whether a step keeps anything but headers."""
    keep = raw.get("keep")
    return bool(keep) and not (isinstance(keep, Mapping) and all(_has(entry, "header") for entry in keep.values()))


def _flag(raw: Mapping[str, Any], key: str, where: str, fields: Fields) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        fields.add(f"{where}.{key}", "give true or false")
    return value is True


def read_statuses(raw: Any, where: str, fields: Fields) -> frozenset[int]:
    """Read a status, or a list of statuses."""
    found = list(raw) if isinstance(raw, list | tuple | set | frozenset) else [raw]
    if not found or not all(type(status) is int and 200 <= status < 500 for status in found):
        fields.add(where, "give statuses from 200 to 499")
        return frozenset()
    return frozenset(found)


def _read_keep(raw: Any, where: str, fields: Fields) -> tuple[Keep, ...]:
    if raw is None:
        return ()
    entries: list[tuple[Any, Any]] = []
    if isinstance(raw, Mapping):
        entries = list(raw.items())
    elif isinstance(raw, str | list):
        entries = [(None, path) for path in (raw if isinstance(raw, list) else [raw])]
    else:
        fields.add(where, "give a path, a list of paths, or a mapping of names to paths")
    if len(entries) > _MAX_KEPT_NAMES:
        fields.add(where, f"names more than {_MAX_KEPT_NAMES} values")
    read = [_read_kept(name, source, where, fields) for name, source in entries]
    kept = tuple(keep for keep in read if keep is not None)
    _check_names([keep.name for keep in kept], where, fields)
    return kept


def _check_names(names: list[Path], where: str, fields: Fields) -> None:
    """Add a value that would be kept inside of another one."""
    for index, name in enumerate(names):
        above = next((other for n, other in enumerate(names) if n != index and name[: len(other)] == other), None)
        if above is not None:
            fields.add(where, f"{'.'.join(map(str, name))} stands below {'.'.join(map(str, above))}; keep one of them")


def _read_kept(name: Any, raw: Any, where: str, fields: Fields) -> Keep | None:
    """Read a value that is kept: under its path, or under a name with a path, a header and a default."""
    source = raw if isinstance(raw, Mapping) else {"path": raw}
    at = f"{where}.{name}" if isinstance(name, str) else where
    if name is not None and not (isinstance(name, str) and is_own_name(name)):
        fields.add(where, "give each value a name of small letters, digits and underscores")
        return None
    fields.unknown(source, frozenset({"path", "header", "default"}), at)
    header = source.get("header", "")
    if ("path" in source) == bool(header) or not isinstance(header, str):
        fields.add(at, "give a path in the answer, or a header")
        return None
    default = source.get("default", MISSING)
    if default is not MISSING and not (default is None or isinstance(default, str | int | float | bool)):
        fields.add(f"{at}.default", "give a text, a number, true, false or null")
    try:
        path = () if header else read_path(source["path"])
    except PMEInputError as error:
        fields.add(at, str(error))
        return None
    return Keep((name,) if isinstance(name, str) else path, path, header, default)


@dataclass(frozen=True)
class _Conflict:
    """What else says that somebody changed the entry meanwhile."""

    statuses: frozenset[int] = frozenset()
    values: tuple[Expectation, ...] = ()

    @classmethod
    def of(cls, raw: Any, where: str, fields: Fields) -> _Conflict:
        if raw is None:
            return cls()
        if not isinstance(raw, Mapping):
            return cls(read_statuses(raw, where, fields))
        fields.unknown(raw, frozenset({"statuses", "answer"}), where)
        statuses = read_statuses(raw["statuses"], f"{where}.statuses", fields) if "statuses" in raw else frozenset()
        return cls(statuses, _expectations(raw.get("answer"), f"{where}.answer", fields))


def _expectations(raw: Any, where: str, fields: Fields) -> tuple[Expectation, ...]:
    found: list[Expectation] = []
    for path, value in fields.mapping(raw, where).items():
        values = value if isinstance(value, list) else [value]
        if not values or not all(v is None or isinstance(v, str | int | float | bool) for v in values):
            fields.add(f"{where}.{path}", "give a value, or a list of values")
        try:
            found.append(Expectation(read_path(path), tuple(values)))
        except PMEInputError as error:
            fields.add(f"{where}.{path}", str(error))
    return tuple(found)
