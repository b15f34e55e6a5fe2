"""Tags, comments and text in HTML with their places, read in one pass as a browser does."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Comment", "Tag", "Text", "Token", "attribute_value", "is_visible", "open_elements", "tokens"]

_MARKUP = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9:_-]*)")
_TAG_STOP = re.compile(r">|=\s{0,16}([\"'])")
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
#: A reference to a character. In an attribute, one without a semicolon is none before ``=`` or a letter, so that
#: ``&gt=1`` and ``&copy=1`` remain parameters of an address (HTML, 13.2.5.73).
_REFERENCE = re.compile(
    r"&(?:#[0-9]{1,8};?|#[xX][0-9A-Fa-f]{1,8};?|[A-Za-z][A-Za-z0-9]{0,31}(?:;|(?![A-Za-z0-9=;])))", re.ASCII
)
#: Their content is text to a browser, whatever it looks like.
_RAW = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "textarea", "xmp", "noembed")}
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
#: Elements that show nothing by themselves.
_WRAPPERS = frozenset(
    {"a", "article", "aside", "b", "blockquote", "br", "center", "cite", "dd", "div", "dl", "dt", "em", "figcaption",
     "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "i", "li", "main", "noscript", "ol", "p",
     "pre", "section", "small", "span", "strong", "sub", "sup", "u", "ul", "wbr"}
)  # fmt: skip
_BLANK = re.compile(r"[\s\u200b-\u200d\u2060\ufeff]*\Z")


@dataclass(frozen=True)
class Token:
    """A piece of HTML, from ``start`` to ``end`` of the whole text."""

    start: int
    end: int


@dataclass(frozen=True)
class Text(Token):
    """Text between tags, or what an element such as ``script`` holds."""

    raw: bool = False


class Comment(Token):
    """A comment."""


@dataclass(frozen=True)
class Tag(Token):
    """A start tag, or an end tag where ``closing`` is set."""

    name: str
    closing: bool
    source: str

    @cached_property
    def attributes(self) -> dict[str, str]:
        """The attributes by name in lower case, without HTML's escapes."""
        inner = self.source[1 + len(self.name) : -1]
        found = ((m[1].lower(), m[2] or m[3] or m[4] or "") for m in _ATTRIBUTE.finditer(inner))
        return {name: attribute_value(value) for name, value in found}

    def without(self, name: str) -> str:
        """Return the tag's source without an attribute, however often it has it."""
        pieces, position = [], 0
        for match in _ATTRIBUTE.finditer(self.source, 1 + len(self.name), len(self.source) - 1):
            if match[1].lower() == name:
                pieces.append(self.source[position : match.start()].rstrip())
                position = match.end()
        return "".join([*pieces, self.source[position:]])


class _Reader:
    """Reads one stretch of a text in linear time: what was not found behind a position is not searched for again."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text, self._position, self._end = text, start, end
        self._missing: set[str] = set()
        self._quotes_count = True

    def read(self) -> Iterator[Token]:
        text_start = self._position
        while match := _MARKUP.search(self._text, self._position, self._end):
            token = self._comment(match.start()) if match[0] == "<!--" else self._tag(match)
            if token is None:
                self._position = match.end()
                continue
            if text_start < token.start:
                yield Text(text_start, token.start)
            yield token
            text_start = self._position = token.end
            if isinstance(token, Tag) and token.name in _RAW and not token.closing:
                end = self._raw_end(token)
                if end > token.end:
                    yield Text(token.end, end, raw=True)
                text_start = self._position = end
        if text_start < self._end:
            yield Text(text_start, self._end)

    def _comment(self, start: int) -> Comment | None:
        end = self._find("-->", start)  # browsers close <!--> and <!---> too
        return Comment(start, end + 3) if end >= 0 else None

    def _tag(self, match: re.Match[str]) -> Tag | None:
        end = self._tag_end(match.end())
        if end < 0:
            return None
        source = self._text[match.start() : end]
        return Tag(match.start(), end, match[2].lower(), bool(match[1]), source)

    def _tag_end(self, position: int) -> int:
        """Return where a tag ends: ``>`` outside of quotes, or the first one where a quote is not closed."""
        first = self._find(">", position)
        if first < 0 or not self._quotes_count:
            return first + 1 or -1
        while stop := _TAG_STOP.search(self._text, position, self._end):
            if not stop[1]:
                return stop.end()
            quote = self._find(stop[1], stop.end())
            if quote < 0:
                break
            position = quote + 1
        self._quotes_count = False  # the rest is broken, and would be read again for each of its tags
        return first + 1

    def _raw_end(self, tag: Tag) -> int:
        """Return where the text of an element such as ``script`` ends; where its tag ends if it is not closed."""
        key = f"</{tag.name}"
        found = None if key in self._missing else _RAW[tag.name].search(self._text, tag.end, self._end)
        if found is None:
            self._missing.add(key)
            return tag.end
        return found.start()

    def _find(self, what: str, start: int) -> int:
        if what in self._missing:
            return -1
        found = self._text.find(what, start, self._end)
        if found < 0:
            self._missing.add(what)
        return found


def attribute_value(raw: str) -> str:
    """Return the value of an attribute without HTML's escapes, as a browser reads it."""
    return _REFERENCE.sub(lambda match: html.unescape(match[0]), raw)


def tokens(text: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """Yield the tags, comments and texts of a stretch of HTML, in order and without gaps, in linear time."""
    return _Reader(text, start, len(text) if end is None else end).read()


def is_visible(text: str) -> bool:
    """Return whether HTML shows anything: text, or an element that is no mere wrapper."""
    for token in tokens(text):
        if isinstance(token, Tag):
            if not token.closing and token.name not in _WRAPPERS:
                return True
        elif isinstance(token, Text) and not _BLANK.match(html.unescape(text[token.start : token.end])):
            return True
    return False


def open_elements(text: str, start: int, end: int) -> list[Tag]:
    """Return the start tags in a stretch of HTML whose elements are not closed in it, the outermost first."""
    stack: list[Tag] = []
    waiting: Counter[str] = Counter()
    for token in tokens(text, start, end):
        if not isinstance(token, Tag) or token.name in _VOID:
            continue
        if token.closing:
            while waiting[token.name]:
                closed = stack.pop()
                waiting[closed.name] -= 1
                if closed.name == token.name:
                    break
        elif not token.source.endswith("/>"):
            stack.append(token)
            waiting[token.name] += 1
    return stack
