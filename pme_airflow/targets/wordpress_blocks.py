"""The blocks in the source of a WordPress page, as the block editor reads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Block", "blocks_of", "enclosing", "has_blocks", "level_of", "referenced_blocks"]

_DELIMITER = re.compile(
    r"<!--\s+(?P<closer>/)?wp:(?P<name>(?:[a-z][a-z0-9_-]*/)?[a-z][a-z0-9_-]*)(?:\s+(?P<attributes>\{.*\}))?\s+(?P<void>/)?-->",
    re.DOTALL,
)
_REFERENCE = re.compile(r"\"ref\"\s{0,9}:\s{0,9}([1-9][0-9]{0,17})\b")
#: Core blocks that take any block as a child.
_OPEN = frozenset({"accordion-panel", "column", "cover", "details", "group", "media-text", "quote"})
#: Core blocks that take children of certain types alone.
_RESTRICTED = frozenset(
    {"accordion", "accordion-item", "buttons", "columns", "gallery", "list", "list-item", "navigation", "query",
     "social-links"}
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A block that is closed.

    :param name: its type; without ``core/`` for WordPress' own.
    :param start: where its opening delimiter starts.
    :param open_end: where its opening delimiter ends.
    :param close_start: where its closing delimiter starts; equal to ``open_end`` where it has none.
    :param end: where it ends.
    :param attributes: the JSON in its delimiter.
    """

    name: str
    start: int
    open_end: int
    close_start: int
    end: int
    attributes: str

    @property
    def is_core(self) -> bool:
        """Whether WordPress itself defines the type."""
        return "/" not in self.name or self.name.startswith("core-embed/")

    def holds(self, start: int, end: int) -> bool:
        """Return whether a span stands between its delimiters."""
        return self.open_end <= start and end <= self.close_start

    @property
    def takes_any(self) -> bool:
        """Whether any block may be its child."""
        return self.name in _OPEN or not self.is_core

    @property
    def takes_some(self) -> bool:
        """Whether it may have children at all."""
        return self.takes_any or self.name in _RESTRICTED


def has_blocks(content: str) -> bool:
    """Return whether a source is made of blocks, so that WordPress does not turn its blank lines into paragraphs."""
    return "<!-- wp:" in content


def blocks_of(content: str) -> list[Block]:
    """Return the closed blocks of a source, in the order in which they start.

    A delimiter without its counterpart is no block, so that what follows it is part of nothing.
    """
    found: list[Block] = []
    stack: list[tuple[re.Match[str], int]] = []
    waiting: Counter[str] = Counter()
    for match, start, end in _delimiters(content):
        name = match["name"].removeprefix("core/")
        attributes = match["attributes"] or ""
        if match["void"] and not match["closer"]:
            found.append(Block(name, start, end, end, end, attributes))
        elif not match["closer"]:
            stack.append((match, start))
            waiting[name] += 1
        elif waiting[name]:
            opener, opened = _pop(stack, waiting, name)
            found.append(Block(name, opened, opened + opener.end(), start, end, opener["attributes"] or ""))
    return sorted(found, key=lambda block: (block.start, -block.end))


def referenced_blocks(content: str) -> list[int]:
    """Return the numbers of the reusable blocks that a source shows, each once."""
    found = (_REFERENCE.search(block.attributes) for block in blocks_of(content) if block.name == "block")
    return list(dict.fromkeys(int(match[1]) for match in found if match))


def _pop(stack: list[tuple[re.Match[str], int]], waiting: Counter[str], name: str) -> tuple[re.Match[str], int]:
    """Remove the last opening delimiter of a type from the stack, and those above it, which are not closed."""
    while True:
        opener, start = stack.pop()
        opened = opener["name"].removeprefix("core/")
        waiting[opened] -= 1
        if opened == name:
            return opener, start


def _delimiters(content: str) -> Iterator[tuple[re.Match[str], int, int]]:
    """Yield the delimiters of blocks, each with its start and end."""
    position = 0
    while (start := content.find("<!--", position)) >= 0:
        close = content.find("-->", start + 4)
        if close < 0:
            return
        position = close + 3
        start = content.rfind("<!--", start, close)  # an earlier one is text: a comment holds no other
        match = _DELIMITER.fullmatch(content[start:position])
        if match:
            yield match, start, position


def enclosing(blocks: Sequence[Block], start: int, end: int) -> list[Block]:
    """Return the blocks whose content holds a span, the outermost first."""
    return [block for block in blocks if block.holds(start, end)]


def level_of(path: Sequence[Block]) -> int:
    """Return how many of the blocks of a path may contain a new block.

    :param path: blocks in one another, the outermost first.
    """
    level = 0
    for depth, block in enumerate(path, 1):
        if not block.takes_some:
            break
        if block.takes_any:
            level = depth
    return level
