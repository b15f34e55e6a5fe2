"""Find the embeds of a Matterport space in a WordPress page, in every form in which people embed one."""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from pme_airflow.targets.html_tokens import Tag, Text, Token, is_visible, tokens
from pme_airflow.targets.wordpress_blocks import Block

__all__ = ["Unit", "find_embeds"]

#: Elements that embed the address in an attribute.
_FRAMES = frozenset({"amp-iframe", "embed", "frame", "iframe", "matterport-viewer", "object"})
#: Elements that a script turns into a frame, if a class or id names the vendor.
_FACADES = frozenset({"div", "figure", "section", "span"})
#: The most characters between an element's tags; an end tag further away belongs to another element.
_MAX_INNER = 2000
_SHORTCODE = re.compile(r"(?<!\[)\[([a-zA-Z][\w-]{0,40})([^\[\]]{0,4000})\](?!\])")
_ENCODED = re.compile(r"\[(vc_raw_html|fusion_code)\b([^\[\]]{0,1000})\]([A-Za-z0-9+/=\s]{1,200000})\[/\1\]")
_EMBEDDING = ("iframe", "embed", "matterport")
#: Shortcodes of WordPress and of page builders that embed an address.
_VIDEOS = frozenset({"et_pb_video", "fusion_video", "vc_video", "video"})
_URL = re.compile(r"https?://[^\s<>\"'\[\]]+")
_LINE = re.compile(r"[^\n]+")
_ADDRESS = re.compile(rf"\s*({_URL.pattern})\s*")
_TAG = re.compile(r"<[^<>]{0,500}>")
#: Tags between which an address is alone, and so embedded by WordPress; elsewhere it must be alone on its line.
_LINE_TAGS = frozenset({"div", "figure", "p"})


@dataclass(frozen=True)
class Unit:
    """A stretch of a page's source that shows a model, or is to show it.

    :param remainder: the part of it to keep, if it shows more than the model.
    """

    start: int
    end: int
    remainder: str = ""

    def holds(self, block: Block) -> bool:
        """Return whether it contains a block."""
        return self.start <= block.start and block.end <= self.end


class _Names:
    """Recognizes a model in addresses: ``…/show/?m=<id>``, ``…/models/<id>``, ``…/space/<id>``."""

    def __init__(self, model_id: str) -> None:
        ends = rf"{re.escape(model_id)}(?![A-Za-z0-9])"
        alone = rf"(?<![A-Za-z0-9]){ends}"
        self._in_url = re.compile(rf"(?:[?&;#]m=|/(?:models|spaces?|show|work)/){ends}")
        self._alone = re.compile(alone)
        self.listed = re.compile(rf"{alone}\s{{0,9}},\s{{0,9}}|,\s{{0,9}}{ends}")

    def in_url(self, text: str) -> bool:
        """Return whether an address in a text names the model."""
        plain = html.unescape(text)
        return bool(self._in_url.search(plain) or self._in_url.search(unquote(plain)))

    def in_value(self, text: str) -> bool:
        """Return whether the model's id is a word of a text."""
        return bool(self._alone.search(text))


def find_embeds(
    content: str, blocks: Sequence[Block], stretches: Sequence[tuple[int, int]], model_id: str
) -> list[Unit]:
    """Return the embeds of a model in a page's source, in order.

    :param blocks: the blocks of the source.
    :param stretches: the HTML between the delimiters of blocks.
    """
    names = _Names(model_id)
    units: list[Unit] = []
    for start, end in stretches:
        stretch = content[start:end]
        if model_id in stretch:
            read = list(tokens(content, start, end))
            units += _frames(content, read, names)
            units += _shortcodes(content, read, names)
            units += _addresses(content, read, names)
        if "[vc_raw_html" in stretch or "[fusion_code" in stretch:
            units += _encoded(content, start, end, model_id)
    units += _blocks(content, blocks, names, units)
    return _apart(units)


def _apart(units: list[Unit]) -> list[Unit]:
    """Return units in order, without those inside another one."""
    apart: list[Unit] = []
    for unit in sorted(units, key=lambda unit: (unit.start, -unit.end)):
        if not apart or unit.start >= apart[-1].end:
            apart.append(unit)
    return apart


# -------------------------------------------------------------------------------- elements


def _frames(content: str, read: Sequence[Token], names: _Names) -> Iterator[Unit]:
    """Yield the elements that show the model, each with a ``noscript`` that holds nothing else."""
    for index, token in enumerate(read):
        if isinstance(token, Tag) and not token.closing and _shows(token, names):
            last = _last(read, index)
            if last > index or token.name in _FRAMES:
                yield _unwrapped(content, read, index, last)


def _shows(tag: Tag, names: _Names) -> bool:
    if tag.name in _FRAMES:
        shown = any(names.in_url(value) for value in tag.attributes.values())
        return shown or (tag.name == "matterport-viewer" and names.in_value(tag.attributes.get("m", "")))
    if tag.name in _FACADES and "data-" in tag.source:
        label = f"{tag.attributes.get('class', '')} {tag.attributes.get('id', '')}".lower()
        values = [value for name, value in tag.attributes.items() if name.startswith("data-")]
        return "matterport" in label and any(names.in_url(value) or names.in_value(value) for value in values)
    return False


def _last(read: Sequence[Token], index: int) -> int:
    """Return the index of the token that ends an element; its own where it has no end."""
    tag = read[index]
    assert isinstance(tag, Tag)
    if tag.name == "embed" or tag.source.endswith("/>"):
        return index
    depth = 0
    for place in range(index, len(read)):
        token = read[place]
        if token.end - tag.end > _MAX_INNER:
            break
        if isinstance(token, Tag) and token.name == tag.name:
            depth += -1 if token.closing else 1
            if depth == 0:
                return place
            if depth > 1 and tag.name in _FRAMES:
                break
    return index


def _unwrapped(content: str, read: Sequence[Token], first: int, last: int) -> Unit:
    """Return the unit of an element, with a ``noscript`` around it that holds nothing else."""
    before, after = _neighbour(content, read, first, -1), _neighbour(content, read, last, 1)
    if (
        isinstance(before, Tag) and isinstance(after, Tag)
        and before.name == after.name == "noscript" and not before.closing and after.closing
    ):  # fmt: skip
        return Unit(before.start, after.end)
    return Unit(read[first].start, read[last].end)


def _neighbour(content: str, read: Sequence[Token], index: int, step: int) -> Token | None:
    """Return the next token in a direction that is no blank text."""
    place = index + step
    while 0 <= place < len(read):
        token = read[place]
        if not isinstance(token, Text) or content[token.start : token.end].strip():
            return token
        place += step
    return None


# -------------------------------------------------------------------------------- text


def _shortcodes(content: str, read: Sequence[Token], names: _Names) -> Iterator[Unit]:
    """Yield the shortcodes that show the model: ``[iframe src=…]``, ``[embed]…[/embed]``, ``[matterport src=…]``."""
    for token in read:
        if not isinstance(token, Text) or token.raw:
            continue
        for match in _SHORTCODE.finditer(content, token.start, token.end):
            name = match[1].lower()
            if name in _VIDEOS or any(word in name for word in _EMBEDDING):
                unit = _shortcode(content, match, name, names)
                if unit is not None:
                    yield unit


def _shortcode(content: str, match: re.Match[str], name: str, names: _Names) -> Unit | None:
    attributes = html.unescape(match[2])
    if names.in_url(attributes) or ("matterport" in name and names.in_value(attributes)):
        end = _enclosed(content, match)[1]
        rest = names.listed.sub("", match[2])
        if rest == match[2] or names.in_value(rest):
            return Unit(match.start(), end)
        return Unit(match.start(), end, f"[{match[1]}{rest}]{content[match.end() : end]}")
    inner, end = _enclosed(content, match)
    if inner and names.in_url(inner) and len(_URL.findall(_TAG.sub(" ", inner))) <= 1:
        return Unit(match.start(), end)
    return None


def _enclosed(content: str, match: re.Match[str]) -> tuple[str, int]:
    """Return what a shortcode encloses, and where it ends."""
    closing = f"[/{match[1]}]"
    end = content.find(closing, match.end(), match.end() + _MAX_INNER)
    opened = content.find(f"[{match[1]}", match.end(), end) if end >= 0 else -1
    if end < 0 or opened >= 0:
        return "", match.end()
    return content[match.end() : end], end + len(closing)


def _addresses(content: str, read: Sequence[Token], names: _Names) -> Iterator[Unit]:
    """Yield the addresses that are alone on a line, which WordPress replaces by an embed."""
    for index, token in enumerate(read):
        if not isinstance(token, Text) or token.raw:
            continue
        for line in _LINE.finditer(content, token.start, token.end):
            match = _ADDRESS.fullmatch(line[0])
            if match is None or not names.in_url(match[1]):
                continue
            starts = line.start() > token.start or _ends_line(read, index - 1)
            if starts and (line.end() < token.end or _ends_line(read, index + 1)):
                yield Unit(line.start() + match.start(1), line.start() + match.end(1))


def _ends_line(read: Sequence[Token], index: int) -> bool:
    if not 0 <= index < len(read):
        return True
    token = read[index]
    return isinstance(token, Tag) and token.name in _LINE_TAGS


def _encoded(content: str, start: int, end: int, model_id: str) -> Iterator[Unit]:
    """Yield the shortcodes of page builders that hold the model's embed as base64."""
    for match in _ENCODED.finditer(content, start, end):
        try:
            raw = base64.b64decode(match[3]).decode()
        except ValueError:
            continue
        quoted = raw.startswith("%")
        plain = unquote(raw) if quoted else raw
        units = find_embeds(plain, (), [(0, len(plain))], model_id)
        if not units:
            continue
        for unit in reversed(units):
            plain = plain[: unit.start] + unit.remainder + plain[unit.end :]
        text = base64.b64encode((quote(plain, safe="") if quoted else plain).encode()).decode()
        remainder = f"[{match[1]}{match[2]}]{text}[/{match[1]}]" if is_visible(plain) else ""
        yield Unit(match.start(), match.end(), remainder)


# -------------------------------------------------------------------------------- blocks


def _blocks(content: str, blocks: Sequence[Block], names: _Names, units: Sequence[Unit]) -> Iterator[Unit]:
    """Yield the blocks whose attributes alone name the model."""
    starts = sorted(unit.start for unit in units)
    for block in blocks:
        if not any(word in block.name for word in _EMBEDDING) or not _attributes_name(block, names):
            continue
        if bisect_left(starts, block.start) < bisect_left(starts, block.end):
            continue  # its HTML names the model too
        inner = content[block.open_end : block.close_start]
        yield Unit(block.start, block.end, f"<!-- wp:html -->{inner}<!-- /wp:html -->" if is_visible(inner) else "")


def _attributes_name(block: Block, names: _Names) -> bool:
    try:
        value = json.loads(block.attributes)
    except (ValueError, RecursionError):
        return False
    by_id = "matterport" in block.name
    return any(names.in_url(text) or (by_id and names.in_value(text)) for text in _strings(value))


def _strings(value: object) -> Iterator[str]:
    """Yield all texts in JSON."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
