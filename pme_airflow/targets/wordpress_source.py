"""Parse the source of a WordPress page once: its blocks, and the places, placeholders and embeds of models in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pme_airflow.targets.html_tokens import Comment, Text, is_visible, open_elements, tokens
from pme_airflow.targets.shown_tokens import all_tokens
from pme_airflow.targets.wordpress_blocks import Block, blocks_of, has_blocks
from pme_airflow.targets.wordpress_embeds import Unit, find_embeds

__all__ = ["Source"]

_COMMENT = re.compile(r"<!--\s{0,9}(/?)pme:([A-Za-z0-9]{1,64})\s{0,9}-->")
_DELIMITER = re.compile(r"<!--\s{1,9}/?wp:")
_PARAGRAPHS = re.compile(r"\n[ \t\r]{0,9}\n|</?(?:p|h[1-6]|ul|ol|li|table)\b", re.IGNORECASE)
#: More text than this between two comments of a model was not written with its link.
_MAX_TEXT = 200


@dataclass(frozen=True)
class _Place:
    """Where a model's link stands: what is between its two comments."""

    model_id: str
    start: int
    end: int
    inner: str


class Source:
    """A page's source. Reading it takes time in proportion to its length, whatever it holds."""

    def __init__(self, content: str) -> None:
        self.content = content

    @cached_property
    def blocks(self) -> list[Block]:
        """Its closed blocks."""
        return blocks_of(self.content)

    @cached_property
    def _places(self) -> list[_Place]:
        """The places of all models: pairs of comments with no comment of another pair, and no block, between them."""
        places: list[_Place] = []
        opener: re.Match[str] | None = None
        for comment in self._comments:
            if not comment[1]:
                opener = comment
            elif opener is not None:
                inner = self.content[opener.end() : comment.start()]
                if opener[2] == comment[2] and not _DELIMITER.search(inner):
                    places.append(_Place(comment[2], opener.start(), comment.end(), inner))
                opener = None
        return places

    @cached_property
    def _comments(self) -> list[re.Match[str]]:
        return list(_COMMENT.finditer(self.content))

    def strays(self, model_id: str) -> list[Unit]:
        """Return the comments of a model without their counterpart: a part of the model's place was deleted."""
        starts, ends = {place.start for place in self._places}, {place.end for place in self._places}
        return [
            Unit(comment.start(), comment.end())
            for comment in self._comments
            if comment[2] == model_id and comment.start() not in starts and comment.end() not in ends
        ]

    def own(self, model_id: str) -> list[Unit]:
        """Return the place of a model's link. What people wrote between its comments is kept."""
        own = (place for place in self._places if place.model_id == model_id)
        return [Unit(place.start, place.end, self._remainder(place)) for place in own]

    def _remainder(self, place: _Place) -> str:
        inner = place.inner
        text = "".join(inner[token.start : token.end] for token in tokens(inner) if isinstance(token, Text))
        if len(text) <= _MAX_TEXT and not (_PARAGRAPHS.search(inner) and text.strip()):
            return ""
        for unit in reversed(find_embeds(inner, (), [(0, len(inner))], place.model_id)):
            inner = inner[: unit.start] + inner[unit.end :]
        return inner if is_visible(inner) else ""

    def is_empty(self, own: Unit) -> bool:
        """Return whether a model's place holds nothing."""
        return any(place.start == own.start and not place.inner.strip() for place in self._places)

    def placeholders(self, model_id: str) -> list[Unit]:
        """Return the placeholders ``[pme model=…]`` in text, and comments that hold nothing else."""
        name = re.escape(model_id)
        placeholder = re.compile(
            rf"(?<!\[)\[pme\s{{1,9}}model\s{{0,9}}=\s{{0,9}}(&quot;|[\"']?){name}\1\s{{0,9}}/?\](?!\])"
        )
        return list(self._placeholders(placeholder))

    def _placeholders(self, placeholder: re.Pattern[str]) -> Iterator[Unit]:
        for start, end in self._stretches:
            if self.content.find("[pme", start, end) < 0:
                continue
            for token in tokens(self.content, start, end):
                if isinstance(token, Comment):
                    if placeholder.fullmatch(self.content[token.start + 4 : token.end - 3].strip()):
                        yield Unit(token.start, token.end)
                elif isinstance(token, Text) and not token.raw:
                    found = placeholder.finditer(self.content, token.start, token.end)
                    yield from (Unit(match.start(), match.end()) for match in found)

    def embeds(self, model_id: str) -> list[Unit]:
        """Return the other embeds of a model: frames, shortcodes, addresses and blocks."""
        return find_embeds(self.content, self.blocks, self._stretches, model_id)

    @cached_property
    def _stretches(self) -> list[tuple[int, int]]:
        """The HTML between the delimiters of blocks and outside of all models' comments."""
        cuts = [(place.start, place.end) for place in self._places]
        for block in self.blocks:
            cuts += [(block.start, block.open_end), (block.close_start, block.end)]
        stretches, position = [], 0
        for start, end in [*sorted(cuts), (len(self.content), len(self.content))]:
            if position < start:
                stretches.append((position, start))
            position = max(position, end)
        return stretches

    def children(self, block: Block, but: Unit | None = None) -> list[Block]:
        """Return the blocks in a block, except those in a unit."""
        return [
            child for child in self.blocks if block.holds(child.start, child.end) and not (but and but.holds(child))
        ]

    def is_text_at(self, unit: Unit) -> bool:
        """Return whether a unit outside of all blocks stands in text, where a block would break it."""
        if not has_blocks(self.content) or any(place.start == unit.start for place in self._places):
            return True
        start = max((block.end for block in self.blocks if block.end <= unit.start), default=0)
        return bool(open_elements(self.content, start, unit.start))

    def tokens(self) -> set[str]:
        """Return all tokens of links in the source."""
        return all_tokens(self.content)

    def links(self) -> set[str]:
        """Return what stands in the places of all models."""
        return {place.inner.strip() for place in self._places} - {""}
