"""What a step reads from an answer: values by their path, kept for later steps, compared with what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import PMEInputError, SlotError

__all__ = ["MISSING", "Expectation", "Keep", "Path", "find", "kept_values", "read_path", "size_of"]

Path = tuple[str | int, ...]
#: The most that the steps of one link keep, in characters.
MAX_KEPT = 1024 * 1024
_MAX_PATH = 20
#: In place of a value that an answer does not have.
MISSING = object()


@dataclass(frozen=True)
class Keep:
    """A value of an answer that later steps may use.

    :param name: where templates find it, below the step's name.
    :param path: where it stands in the answer's JSON; empty for the whole of it.
    :param header: the header that has it, in place of ``path``.
    :param default: what is kept where the answer does not have it; without one the step fails.
    """

    name: Path
    path: Path = ()
    header: str = ""
    default: Any = MISSING

    def value_in(self, body: Any, headers: Mapping[str, str], *, refused: bool) -> Any:
        """Return the value in an answer, or :data:`MISSING`.

        :param refused: whether the answer's status is 400 or more: then nothing but the default is kept.
        """
        found = MISSING if refused else headers.get(self.header, MISSING) if self.header else find(body, self.path)
        return self.default if found is MISSING else found


@dataclass(frozen=True)
class Expectation:
    """A value that an answer must have, or one of several."""

    path: Path
    values: tuple[Any, ...]

    def met_by(self, body: Any) -> bool:
        """Return whether an answer has one of the values; true is not 1."""
        found = find(body, self.path)
        return any(type(found) is type(value) and found == value for value in self.values)


def read_path(raw: Any) -> Path:
    """Read a path such as ``sys.version`` or ``data.0.id``, or a list of keys where one has a dot in it.

    :raises PMEInputError: for anything else.
    """
    parts = raw.split(".") if isinstance(raw, str) else raw
    if not isinstance(parts, list) or not 0 < len(parts) <= _MAX_PATH:
        raise PMEInputError("give a path in the answer such as data.id, or a list of its keys")
    if not all(isinstance(part, str | int) and not isinstance(part, bool) and part != "" for part in parts):
        raise PMEInputError("has an empty part, or one that is no key")
    return tuple(int(p) if isinstance(raw, str) and p.isdecimal() and len(p) < 10 else p for p in parts)


def find(body: Any, path: Path) -> Any:
    """Return the value at a path of an answer, or :data:`MISSING`. A number is a place in a list, or a key."""
    for part in path:
        if isinstance(body, Mapping):
            body = body.get(part, body.get(str(part), MISSING))
        elif isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
        else:
            return MISSING
    return body


def kept_values(keep: Sequence[Keep], body: Any, headers: Mapping[str, str], *, refused: bool) -> dict[str | int, Any]:
    """Return what a step keeps of an answer, as templates find it.

    :raises SlotError: if the answer lacks a value that has no default.
    """
    kept: dict[str | int, Any] = {}
    for entry in keep:
        value = entry.value_in(body, headers, refused=refused)
        if value is MISSING:
            what = f"header {entry.header}" if entry.header else ".".join(map(str, entry.path))
            raise SlotError(f"the answer has no {what}, which keep names. Correct keep, or give it a default")
        place = kept
        for part in entry.name[:-1]:
            place = place.setdefault(part, {})
        place[entry.name[-1]] = value
    return kept


def size_of(value: Any, limit: int = MAX_KEPT) -> int:
    """Return how many characters a value of JSON has, and stop counting above a limit."""
    size = 0
    pending = [value]
    while pending and size <= limit:
        part = pending.pop()
        size += len(part) if isinstance(part, str) else 8
        if isinstance(part, Mapping):
            pending += part.keys()
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return size
