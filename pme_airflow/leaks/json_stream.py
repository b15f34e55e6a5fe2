"""Read JSON documents, and the text between them, with no more than a few megabytes of a report in memory.

Scanners write a list of findings, an object with such a list inside, one object a line, or several of these in one
file with log lines in between. Findings are decoded one by one; a part that cannot be decoded is an event, too.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MAX_FINDING_CHARACTERS", "Broken", "Element", "EmptyDocuments", "End", "Event", "Fields", "Text",
           "read_events"]  # fmt: skip

#: A finding, or all other fields of a report, with more characters than this are not read.
MAX_FINDING_CHARACTERS = 4 << 20
#: Stop reading a report after so many broken parts.
_MAX_BROKEN = 100
_STEP_BYTES = 1 << 20
#: Characters that are decoded ahead of the position; a number or the start of a document is shorter.
_LOOKAHEAD = 2048

#: Where lists of findings are: the keys that lead there, ``*`` for any.
_LISTS = frozenset({
    (), ("*",), ("runs",), ("runs", "*", "results"), ("results",), ("results", "*"), ("findings",),
    ("vulnerabilities",),
})  # fmt: skip
_OBJECTS = frozenset({(), ("runs", "*"), ("results",)})
#: The brackets of what is read element by element, by path.
_ENTERED = {path: "[" * (path in _LISTS) + "{" * (path in _OBJECTS) for path in _LISTS | _OBJECTS}

_SPACE = re.compile(r"(?:[\s\ufeff]+|\x1b\][^\x07\x1b]{0,64}(?:\x07|\x1b\\)|\x1b\[[0-9;?]{0,32}[A-Za-z])*")
#: Characters that :data:`_SPACE` cannot match.
_STRUCTURE = frozenset('{}[],:"')
#: Documents without content, one after the other: a megabyte holds half a million of them.
_EMPTY_DOCUMENTS = re.compile(r"(?:(?:\{\}|\[\])[ \t\r\n]{0,16}){2,100000}")
_JSON_START = re.compile(r"\{\s{0,1000}[\"}]|\[\s{0,1000}[\[{\"\]]")
_NEXT_JSON_LINE = re.compile(r"\n[ \t\r]{0,1000}(?=\x1b|\ufeff|\{\s{0,1000}[\"}]|\[\s{0,1000}[\[{\"\]])")
_SCALAR_LIST = re.compile(r"\[[^\n]{0,10000}\]\s*\Z")


@dataclass(frozen=True)
class Element:
    """An element of a list.

    :param path: the keys that lead to it, ``*`` for an element of a list.
    """

    path: tuple[str, ...]
    value: Any = field(repr=False)


@dataclass(frozen=True)
class End:
    """The end of a list or an object that was read element by element.

    :param values: the fields of an object that were read whole.
    :param entered: the names of its fields that were read element by element.
    """

    path: tuple[str, ...]
    is_list: bool
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    entered: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fields:
    """The fields of an object that were read before it turned out to be broken, cut off or too large."""

    values: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class EmptyDocuments:
    """Several documents without content, one after the other."""

    lists: int
    objects: int


@dataclass(frozen=True)
class Text:
    """Text that is no JSON, a few lines or a part of a long one."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class Broken:
    """A part that could not be read.

    :param line: where it begins, or where it breaks off.
    """

    line: int
    reason: str


Event = Element | End | Fields | EmptyDocuments | Text | Broken


def read_events(raw: bytes) -> Iterator[Event]:
    """Yield the elements, texts and broken parts of a report, in order."""
    return _Reader(raw).events()


class _UnreadableError(Exception):
    """A value cannot be decoded; the message says why."""


def _integer(digits: str) -> int | float:
    """Read an integer; one that is too long for an ``int`` in linear time as a float."""
    return int(digits) if len(digits) < 100 else float(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; a key that occurs more than once gets the list of its values."""
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeated: dict[str, list[Any]] = {}
    for key, item in pairs:
        repeated.setdefault(key, []).append(item)
    return {key: items[0] if len(items) == 1 else items for key, items in repeated.items()}


_DECODER = json.JSONDecoder(parse_int=_integer, strict=False, object_pairs_hook=_object)


class _Window:
    """The part of a report that is currently decoded.

    :param raw: the report; its encoding is found by its byte order mark or its zero bytes.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(json.detect_encoding(raw))()
        self._offset = 0
        self._lines_before = 0
        self.text = ""
        self.position = 0
        self.at_end = False
        self.problem: Broken | None = None

    @property
    def line(self) -> int:
        return self._lines_before + self.text.count("\n", 0, self.position) + 1

    @property
    def left(self) -> int:
        return len(self.text) - self.position

    def fill(self) -> bool:
        """Drop what was read and decode the next bytes; return whether there were any."""
        if self.at_end:
            return False
        piece = self._raw[self._offset : self._offset + _STEP_BYTES]
        self._offset += len(piece)
        self.at_end = self._offset >= len(self._raw)
        decoded = self._decoded(piece)
        self._lines_before = self.line - 1
        self.text = self.text[self.position :] + decoded
        self.position = 0
        return True

    def _decoded(self, piece: bytes) -> str:
        """Decode a piece; from the first one on that is no text, what cannot be decoded is replaced by U+FFFD."""
        try:
            return self._decoder.decode(piece, self.at_end)
        except UnicodeDecodeError as error:
            lines = self._lines_before + self.text.count("\n") + error.object.count(b"\n", 0, error.start)
            self.problem = Broken(lines + 1, "has bytes that are neither UTF-8 nor UTF-16 text. Convert it to UTF-8")
            self._decoder.errors = "replace"
            return self._decoder.decode(piece, self.at_end)

    def skip_space(self) -> str:
        """Skip space, byte order marks and terminal sequences, and return the character behind; empty at the end."""
        character = self.text[self.position : self.position + 1]
        if character in _STRUCTURE and (self.at_end or self.left > _LOOKAHEAD):
            return character
        while True:
            match = _SPACE.match(self.text, self.position)
            self.position = match.end() if match else self.position
            if self.left > _LOOKAHEAD or not self.fill():
                return self.text[self.position : self.position + 1]


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._window = _Window(raw)

    def events(self) -> Iterator[Event]:
        window = self._window
        broken = 0
        yield from self._scalars()
        while window.skip_space():
            if empty := self._empty_documents():
                yield empty
                continue
            if not _JSON_START.match(window.text, window.position):
                yield Text(self._text())
                continue
            try:
                yield from self._walk(())
            except _UnreadableError as error:
                broken += 1
                yield Broken(window.line, str(error))
                yield Text(self._text())
            if broken == _MAX_BROKEN:
                yield Broken(window.line, f"was not read further, since {broken} parts before are broken")
                break
        if window.problem is not None:
            yield window.problem

    def _scalars(self) -> Iterator[Event]:
        """Read a report that is a list of numbers, as JSON; a log line that begins with ``[2026`` is text."""
        window = self._window
        if window.skip_space() != "[" or not window.at_end or _JSON_START.match(window.text, window.position):
            return
        if _SCALAR_LIST.match(window.text, window.position):
            try:
                value, window.position = _DECODER.raw_decode(window.text, window.position)
            except (ValueError, RecursionError):
                return
            yield from (Element(("*",), item) for item in value)
            yield End((), is_list=True)

    def _empty_documents(self) -> EmptyDocuments | None:
        window = self._window
        match = _EMPTY_DOCUMENTS.match(window.text, window.position)
        if match is None:
            return None
        window.position = match.end()
        return EmptyDocuments(match[0].count("["), match[0].count("{"))

    def _text(self) -> str:
        """Take the text up to the next line that begins with JSON, at least to the end of this line."""
        window = self._window
        while window.left < _STEP_BYTES // 4 and window.fill():
            pass
        match = _NEXT_JSON_LINE.search(window.text, window.position)
        last_line = window.text.rfind("\n", window.position) + 1
        end = match.end() if match else len(window.text) if window.at_end else last_line or len(window.text)
        taken = window.text[window.position : end]
        window.position = end
        return taken

    def _walk(self, path: tuple[str, ...]) -> Iterator[Event]:
        opening = self._window.skip_space()
        if opening == "[" and path in _LISTS:
            yield from self._list(path)
        elif opening == "{" and path in _OBJECTS:
            yield from self._fields(path)
        else:
            yield Element(path, self._value())

    def _list(self, path: tuple[str, ...]) -> Iterator[Event]:
        window = self._window
        child = (*path, "*")
        entered = _ENTERED.get(child, "")
        window.position += 1
        while (character := window.skip_space()) != "]":
            if character in entered:
                yield from self._walk(child)
            else:
                yield Element(child, self._value())
            character = window.skip_space()
            if character == ",":
                window.position += 1
            elif character != "]":
                raise _UnreadableError("is broken or cut off. Run the scanner again")
        window.position += 1
        yield End(path, is_list=True)

    def _fields(self, path: tuple[str, ...]) -> Iterator[Event]:
        values: list[tuple[str, Any]] = []
        try:
            yield from self._fields_into(values, path)
        except _UnreadableError:
            if values:
                yield Fields(_object(values))
            raise

    def _fields_into(self, values: list[tuple[str, Any]], path: tuple[str, ...]) -> Iterator[Event]:
        """Read an object; the fields that are not read element by element are added to the values."""
        window = self._window
        entered: set[str] = set()
        size = 0
        window.position += 1
        while window.skip_space() != "}":
            key = self._key()
            child = (*path, "*") if path == ("results",) else (*path, key)
            opening = window.skip_space()
            if (opening == "[" and child in _LISTS) or (opening == "{" and child in _OBJECTS):
                entered.add(key)
                yield from self._walk(child)
            else:
                before = window.left
                values.append((key, self._value()))
                size += max(before - window.left, 0) + len(key)
            if size > MAX_FINDING_CHARACTERS:
                raise _UnreadableError(f"has over {MAX_FINDING_CHARACTERS} characters besides its findings")
            if window.skip_space() == ",":
                window.position += 1
            elif window.skip_space() != "}":
                raise _UnreadableError("is broken or cut off. Run the scanner again")
        window.position += 1
        yield End(path, is_list=False, values=_object(values), entered=frozenset(entered))

    def _key(self) -> str:
        key = self._value() if self._window.skip_space() == '"' else None
        if not isinstance(key, str) or self._window.skip_space() != ":":
            raise _UnreadableError("is broken or cut off. Run the scanner again")
        self._window.position += 1
        return key

    def _value(self) -> Any:
        """Decode the value at the position, whole."""
        window = self._window
        while True:
            try:
                value, end = _DECODER.raw_decode(window.text, window.position)
            except RecursionError:
                problem = "is nested too deep"
            except json.JSONDecodeError as error:
                problem = self._problem(error)
            else:
                is_whole = not isinstance(value, int | float) or len(window.text) - end > _LOOKAHEAD
                if is_whole or not window.fill():
                    window.position = end
                    return value
                continue
            if problem or not window.fill():
                raise _UnreadableError(problem or "is broken or cut off. Run the scanner again")

    def _problem(self, error: json.JSONDecodeError) -> str:
        """Return why a value cannot be decoded; nothing where it may go on behind the window."""
        window = self._window
        goes_on = error.msg.startswith("Unterminated") or len(window.text) - error.pos <= _LOOKAHEAD
        if not goes_on:
            return "is broken or cut off. Run the scanner again"
        if window.left > MAX_FINDING_CHARACTERS:
            return f"has over {MAX_FINDING_CHARACTERS} characters in one finding. Split it"
        return ""
