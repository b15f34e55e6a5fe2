"""Parsing the GraphQL responses of the PME API, also those that were cut off."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from pme_airflow.api.dialect import OPTIONAL_FIELDS, MutationNames
from pme_airflow.api.outcomes import HttpResponse

__all__ = ["MODEL_STATUSES", "GraphError", "GraphResponse", "is_whole_json", "parse_graph_response", "parse_json"]

#: A code of a few words, as the vendor's are; anything longer could repeat a secret.
_CODE = re.compile(r"[A-Za-z]{1,24}([._-][A-Za-z]{1,24}){0,5}\Z", re.ASCII)
_VALIDATION_CODES = frozenset({"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "VALIDATIONERROR", "INVALIDSYNTAX"})
#: What was named is refused, as it is: 409 and 422 are of requests that were understood.
MODEL_STATUSES = frozenset({403, 404, 409, 410, 422})
_THROTTLING_STATUSES = frozenset({408, 425, 429})
#: Classify an error by the words of its code if it has no status. The codes are not documented.
_THROTTLING = re.compile(r"\b(throttl\w*|rate|rate ?limit\w*|limit\w*|quota\w*|too ?many\w*)\b")
_CLIENT_ERROR = re.compile(r"^(request|model)\b|\b(not ?found|invalid\w*|forbidden|unauthorized|unauthenticated|bad)\b")
#: An execution that began and did not end: what was asked for may have been done.
_INTERRUPTED = re.compile(
    r"\b(time ?out|timed ?out|internal|server|unavailable|cancel\w*|abort\w*|interrupt\w*|fail\w*)\b"
    r"|^(request|model) error"
)
_UNAUTHENTICATED = re.compile(r"\b(unauthenticated|unauthorized|(invalid|expired) ?token|token ?(invalid|expired))\b")
_ABOUT_MODEL = re.compile(r"^model\b|\bnot\b|\bnot ?found\b")
#: The key of a response's parsed body.
_GRAPH = "graph"
#: Where a message names a field: in quotes, at the end of a path, after its type, or after the word "field".
_NAMED_FIELD = re.compile(
    r"""["'`]([A-Za-z]{1,40})["'`]|@\[[\w/]{0,200}?\b([A-Za-z]{1,40})\]|\b[A-Z]\w{0,40}\.([A-Za-z]{1,40})\b"""
    r"""|\b[Ff]ields? ([A-Za-z]{1,40})\b(?!\.)""",
    re.ASCII,
)
#: Field names after these words are suggestions: the API has them.
_SUGGESTION = re.compile(r"did you mean|use\b|in favou?r of|replaced by", re.IGNORECASE)
_UNKNOWN_FIELD = re.compile(
    r"cannot query field|FieldUndefined|undefined field|unknown field|is undefined", re.IGNORECASE
)
_MAX_MESSAGE = 500
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class GraphError:
    """The parts of a GraphQL error that are safe to repeat: its path, status and code, never its message.

    Where the vendor puts ``code`` and ``httpStatus`` (top level or ``extensions``) is not documented; both are read.

    :param path: the error's path, the alias first; ``None`` for an error of the whole request.
    :param status: the vendor's ``httpStatus``, "the equivalent HTTP status for each sub-error".
    :param code: a short code such as ``model.inactive``.
    :param validation: whether the query was rejected before it was executed.
    :param names_mutation: whether the message names one of the mutations, as "Cannot query field …" does.
    :param refused_field: the optional field that the message says the API does not have.
    :param locations: the lines and columns of the query that it is about.
    """

    path: tuple[str | int, ...] | None = field(repr=False)
    status: int | None
    code: str | None
    validation: bool
    names_mutation: bool
    refused_field: str | None = None
    locations: tuple[tuple[int, int], ...] = ()

    @property
    def is_client_error(self) -> bool:
        """Whether it is a 4xx error, so that the request had no effect; a time-out (408) may have had one."""
        if self.status is not None:
            return 400 <= self.status < 500 and self.status != 408
        if _INTERRUPTED.search(self._words):
            return False
        return bool(_CLIENT_ERROR.search(self._words) or _THROTTLING.search(self._words))

    @property
    def is_throttling(self) -> bool:
        """Whether the same request may succeed after a pause."""
        if self.status is not None:
            return self.status in _THROTTLING_STATUSES
        return bool(_THROTTLING.search(self._words))

    @property
    def is_of_alias(self) -> bool:
        """Whether it is about a mutation itself. One of a field in its result says that there was a result."""
        return len(self.path or ()) == 1

    @property
    def is_unauthenticated(self) -> bool:
        """Whether the credentials were refused."""
        return self.status == 401 or (self.status is None and bool(_UNAUTHENTICATED.search(self._words)))

    @property
    def is_denial(self) -> bool:
        """Whether the API refused what was requested itself: not the credentials, and not temporarily."""
        return self.is_client_error and not self.is_throttling and not self.is_unauthenticated

    @property
    def is_about_model(self) -> bool:
        """Whether the model itself was refused, so that the same request cannot succeed."""
        by_code = bool(_ABOUT_MODEL.search(self._words)) and not _INTERRUPTED.search(self._words)
        return by_code or self.status in MODEL_STATUSES

    @property
    def _words(self) -> str:
        """The words of the code in lower case: ``model inactive``, ``rate limited``; empty where there is none."""
        return " ".join(_WORD.findall(self.code or "")).lower()

    @property
    def summary(self) -> str:
        """The status and the code in words."""
        parts = [f"status {self.status}" if self.status else "", f"code {self.code}" if self.code else ""]
        return ", ".join(part for part in parts if part) or "no status and no code"


@dataclass(frozen=True)
class GraphResponse:
    """The two halves of a GraphQL response.

    :param data: the values by alias; ``None`` where ``data`` is null, absent or of another type.
    :param errors: the errors; empty where there are none.
    :param oauth_error: the text of a top-level ``error``, as an OAuth refusal has it instead of ``data``.
    """

    data: Mapping[str, Any] | None = field(repr=False)
    errors: tuple[GraphError, ...]
    oauth_error: str | None = field(repr=False)

    def value(self, alias: str) -> Any:
        """The value under an alias; ``None`` where it is null or absent."""
        return (self.data or {}).get(alias)

    def errors_at(self, alias: str) -> list[GraphError]:
        """The errors whose path begins with an alias."""
        return [error for error in self.errors if error.path and error.path[0] == alias]

    @property
    def is_judged_by_alias(self) -> bool:
        """Whether each error is about one alias, and says of which kind it is: the status may be that of one alias."""
        return self.data is not None and bool(self.errors) and all(e.path and (e.status or e.code) for e in self.errors)

    @property
    def has_value(self) -> bool:
        """Whether any field has a value, so that the request was executed."""
        return self.data is not None and any(value is not None for value in self.data.values())


def parse_graph_response(response: HttpResponse) -> GraphResponse | None:
    """Parse a body as a GraphQL response; ``None`` where it is no JSON object.

    Of a body that was cut off, whatever its status or headers say, everything before the cut is parsed. A string that
    the cut left open is dropped, so that no token is read in part. Each response is parsed once.
    """
    if _GRAPH not in response.parsed:
        response.parsed[_GRAPH] = _parse_graph(response)
    parsed: GraphResponse | None = response.parsed[_GRAPH]
    return parsed


def _parse_graph(response: HttpResponse) -> GraphResponse | None:
    body = parse_json(response.body)
    if not isinstance(body, dict):
        return None
    data = body.get("data")
    raw = body.get("errors")
    errors = tuple(_parse_error(error) for error in raw) if isinstance(raw, list) else ()
    oauth = body.get("error")
    return GraphResponse(data if isinstance(data, dict) else None, errors, oauth if isinstance(oauth, str) else None)


def parse_json(body: bytes) -> object:
    """Parse a JSON text, or what precedes the place where it breaks off; ``None`` where it is no JSON.

    A byte order mark before it and half a surrogate pair inside it do not hide the rest, which may hold a live token.
    """
    text = body.removeprefix(codecs.BOM_UTF8)
    with suppress(ValueError):
        return from_json(text, allow_partial=True)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_whole_json(body: bytes) -> bool:
    """Return whether a body is a JSON text from beginning to end, and not one that breaks off."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _parse_error(raw: object) -> GraphError:
    error = raw if isinstance(raw, dict) else {}
    extensions = error.get("extensions")
    places = [error, extensions if isinstance(extensions, dict) else {}]
    path = error.get("path")
    status = next((read for place in places if (read := _parse_status(place.get("httpStatus"))) is not None), None)
    code = next((c for place in places if isinstance(c := place.get("code"), str) and _CODE.match(c)), None)
    kind = next((str(place["classification"]) for place in places if "classification" in place), "")
    known = {text.upper() for text in (code or "", kind)}
    has_kind = code is not None or bool(kind)  # of an execution, where it is not one of a validation
    by_form = path is None and bool(error.get("locations")) and (400 <= status < 500 if status else not has_kind)
    message = str(error.get("message", ""))
    unknown_field = path is None and bool(_UNKNOWN_FIELD.search(message[:_MAX_MESSAGE]))
    return GraphError(
        path=tuple(path) if isinstance(path, list) else None,
        status=status,
        code=code,
        validation=bool(known & _VALIDATION_CODES) or by_form or unknown_field,
        names_mutation=any(name in message for names in MutationNames for name in names.value),
        refused_field=_field_named_in(message[:_MAX_MESSAGE]),
        locations=tuple(_parse_locations(error.get("locations"))),
    )


def _field_named_in(message: str) -> str | None:
    """Return the optional field that a message is about: the first one that it names, suggestions left out."""
    named = (group for found in _NAMED_FIELD.finditer(_SUGGESTION.split(message)[0]) for group in found.groups())
    return next((name for name in named if name in OPTIONAL_FIELDS), None)


def _parse_locations(value: object) -> Iterator[tuple[int, int]]:
    for place in value if isinstance(value, list) else ():
        line, column = (place.get("line"), place.get("column")) if isinstance(place, dict) else (None, None)
        if isinstance(line, int) and isinstance(column, int):
            yield line, column


def _parse_status(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    return value if isinstance(value, int) and 100 <= value <= 599 else None
