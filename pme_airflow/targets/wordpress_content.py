"""A link's place in the source of a WordPress page: finding it, and replacing it alone.

The link stands between two comments that name its model, ``<!-- pme:<id> -->`` and ``<!-- /pme:<id> -->``: in a block
``wp:html`` of its own where the page is made of blocks, and in the text where it is not, since one block would keep
WordPress from making paragraphs of all other text.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.html_tokens import is_visible, open_elements
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.wordpress_blocks import Block, enclosing, has_blocks, level_of
from pme_airflow.targets.wordpress_embeds import Unit
from pme_airflow.targets.wordpress_frames import default_frame, renewed_frame
from pme_airflow.targets.wordpress_source import Source

__all__ = ["cleared", "holds_place", "is_stale", "link_embed", "placed", "shown_text"]

#: Blocks of plain HTML, in which the link stands among other text.
_RAW = frozenset({"freeform", "html"})
#: With more embeds of one model than this, the page is refused, and a person must remove them.
_MAX_EMBEDS = 10
#: How many removals one change may take: removing an embed may reveal another one that contained it.
_MAX_REMOVALS = 40
_BREAKS = ("<br>", "<br/>", "<br />")


def link_embed(link: ShownLink, replaced: str = "", former: str = "") -> str:
    """Return the HTML that shows a link, as the block editor would write it.

    :param replaced: what it replaces: an iframe stays as it is but for the token, and of other embeds their looks.
    :param former: the placement's Showcase parameters at the last time.
    """
    frame = renewed_frame(replaced, link, former) if replaced else None
    return _between_comments(link.model_id, frame or default_frame(link, replaced))


def placed(content: str, embed: str | Callable[[str], str], model_id: str) -> str:
    """Return a source with a model's link in its place; every other byte stays as it was.

    The place is where the model's link stands, else the placeholder ``[pme model=…]``, else where the link stood, else
    another embed of the model, else the end. Unless the link is in its place already, other embeds of the model are
    removed.

    :param embed: what :func:`link_embed` returns, or a function that returns it for the text that it replaces.
    :raises SlotError: where there are several places of one kind.
    """
    place, others = _place(Source(content), model_id)
    shown = content[place.start : place.end] if place is not None else ""
    if callable(embed):
        embed = embed(shown)
    for _ in range(_MAX_REMOVALS):  # one that is removed may have held another
        if not others:
            break
        content = _without(Source(content), others[-1])
        place, others = _place(Source(content), model_id)
    if others:
        raise _too_many(model_id)
    if place is not None:
        return _put(Source(content), place, embed)
    if not content.strip():
        return content + _block(embed)
    return f"{content}\n\n{_block(embed) if has_blocks(content) else embed}"


def holds_place(content: str, model_id: str) -> bool:
    """Return whether a source has a place for a model besides its end."""
    source = Source(content)
    found = (source.own, source.placeholders, source.embeds, source.strays)
    return any(units(model_id) for units in found)


def cleared(content: str, model_id: str) -> str:
    """Return a source without a model's link. A comment that visitors do not see keeps its place."""
    empty = _between_comments(model_id, "")
    content = _with_emptied(content, Source(content).own(model_id), empty)
    for _ in range(_MAX_EMBEDS):
        source = Source(content)
        shown = [unit for unit in source.embeds(model_id) if tokens_of(content[unit.start : unit.end], model_id)]
        if not shown:
            return content
        last = shown[-1]
        content = _without(source, last) if source.own(model_id) else _put(source, last, empty)
    raise _too_many(model_id)


def _with_emptied(content: str, places: Sequence[Unit], empty: str) -> str:
    """Return a source with its places emptied, in time in proportion to its length, however many they are."""
    kept: list[str] = []
    position = 0
    for place in places:
        kept += [content[position : place.start], empty, place.remainder]
        position = place.end
    return "".join([*kept, content[position:]])


def shown_text(content: str, model_id: str) -> str:
    """Return what stands in a model's place, without HTML's escapes."""
    return html.unescape(" ".join(content[own.start : own.end] for own in Source(content).own(model_id)))


def is_stale(revision: str, content: str) -> bool:
    """Return whether a revision holds a link, of any model, that the page's source does not."""
    old, new = Source(revision), Source(content)
    return bool(old.tokens() - new.tokens() or old.links() - new.links())


def _too_many(model_id: str) -> SlotError:
    return SlotError(f"the page shows model {model_id} at more than {_MAX_EMBEDS} places: take them out by hand")


def _between_comments(model_id: str, inner: str) -> str:
    return f"<!-- pme:{model_id} -->{inner}<!-- /pme:{model_id} -->"


def _block(inner: str) -> str:
    return f"<!-- wp:html -->\n{inner}\n<!-- /wp:html -->"


def _place(source: Source, model_id: str) -> tuple[Unit | None, list[Unit]]:
    """Return the unit that the model's link replaces, and the other embeds of the model."""
    own = source.own(model_id)
    if len(own) > 1:
        raise SlotError(f"the page holds {len(own)} blocks of model {model_id}: leave one")
    if own and not source.is_empty(own[0]):
        return own[0], []
    placeholders = source.placeholders(model_id)
    if len(placeholders) > 1:
        raise SlotError(f"the page contains {len(placeholders)} placeholders [pme model={model_id}]: leave one")
    embeds = source.embeds(model_id)
    if len(embeds) > _MAX_EMBEDS:
        raise SlotError(f"the page shows model {model_id} at {len(embeds)} places: leave one")
    strays = source.strays(model_id)
    found = [*placeholders, *own, *embeds, *(strays if len(strays) <= _MAX_EMBEDS else [])]
    return (found[0], sorted(found[1:], key=lambda unit: unit.start)) if found else (None, [])


# -------------------------------------------------------------------------------- changing


def _replaced(content: str, start: int, end: int, text: str) -> str:
    return content[:start] + text + content[end:]


def _without(source: Source, unit: Unit) -> str:
    """Return a source without a unit, and without its block where that holds nothing else."""
    content, path = source.content, enclosing(source.blocks, unit.start, unit.end)
    if path and not source.children(path[-1]) and not _shows_more(content, path[-1], unit):
        return _replaced(content, path[-1].start, path[-1].end, "")
    return _replaced(content, unit.start, unit.end, unit.remainder)


def _put(source: Source, unit: Unit, embed: str) -> str:
    """Return a source with an embed in a unit's place: in the text, or as a block where a block may stand."""
    content, path = source.content, enclosing(source.blocks, unit.start, unit.end)
    if not path:
        text = embed if source.is_text_at(unit) else _block(embed)
        return _replaced(content, unit.start, unit.end, unit.remainder + text)
    if path[-1].name in _RAW:
        return _put_in_html(source, path, unit, embed)
    return _put_block(source, path, level_of(path), unit, _block(embed))


def _put_in_html(source: Source, path: list[Block], unit: Unit, embed: str) -> str:
    """Return a source with an embed in a block of plain HTML.

    Where that stands in a block which keeps none, it is moved out of it, with all that it holds.
    """
    content, raw, level = source.content, path[-1], level_of(path)
    if level == len(path) - 1:
        return _replaced(content, unit.start, unit.end, unit.remainder + embed)
    if path[-2].name in _RAW:
        return _put(*_unwrapped(content, raw, unit), embed)
    text = content[raw.start : unit.start] + unit.remainder + embed + content[unit.end : raw.end]
    return _put_block(source, path[:-1], level, Unit(raw.start, raw.end), text)


def _unwrapped(content: str, raw: Block, unit: Unit) -> tuple[Source, Unit]:
    """Return a source without the delimiters of a block in another one of plain HTML, and the unit in it."""
    shift = raw.open_end - raw.start
    text = content[: raw.start] + content[raw.open_end : raw.close_start] + content[raw.end :]
    return Source(text), Unit(unit.start - shift, unit.end - shift, unit.remainder)


def _put_block(source: Source, path: list[Block], level: int, unit: Unit, block: str) -> str:
    """Return a source with a block in place of a unit.

    :param path: the blocks around the unit, the outermost first.
    :param level: in how many of them the block may stand.
    """
    content, leaf = source.content, path[-1]
    if level == len(path) and not leaf.is_core and not source.children(leaf, but=unit):
        level = level_of(path[:-1])
    if level == len(path):
        return _replaced(content, unit.start, unit.end, unit.remainder + block)
    top = path[level]
    if not _shows_more(content, top, unit):
        return _replaced(content, top.start, top.end, block)
    if top is leaf and leaf.name == "paragraph":
        return _replaced(content, leaf.start, leaf.end, _split(content, leaf, unit, block))
    if top is leaf and (not leaf.is_core or leaf.name == "embed"):
        return _replaced(content, leaf.start, leaf.end, _as_html(content, leaf, unit, block))
    return _with_sibling_block(source, top, leaf, unit, block)


def _shows_more(content: str, block: Block, unit: Unit) -> bool:
    """Return whether a block shows more than a unit of it."""
    return is_visible(content[block.open_end : unit.start] + unit.remainder + content[unit.end : block.close_start])


def _split(content: str, paragraph: Block, unit: Unit, block: str) -> str:
    """Return a paragraph's text before a unit, the block, and its text behind the unit, each as a block."""
    before = content[paragraph.open_end : unit.start] + unit.remainder
    after = content[unit.end : paragraph.close_start]
    opened = open_elements(content, paragraph.open_end, unit.start)
    opener, closer = content[paragraph.start : paragraph.open_end], content[paragraph.close_start : paragraph.end]
    parts = [block]
    if is_visible(before):
        ends = "".join(f"</{tag.name}>" for tag in reversed(opened))
        parts.insert(0, f"{opener}{_without_break_behind(before)}{ends}\n{closer}")
    if is_visible(after):
        starts = "".join(tag.without("id") for tag in opened)  # an id may stand once on a page
        parts.append(f"{opener}\n{starts}{_without_break_before(after)}{closer}")
    return "\n\n".join(parts)


def _without_break_behind(text: str) -> str:
    """Return text without the line break that parted it from the unit behind it."""
    stripped = text.rstrip()
    found = next((tag for tag in _BREAKS if stripped.endswith(tag)), None)
    return stripped.removesuffix(found) if found else text


def _without_break_before(text: str) -> str:
    stripped = text.lstrip()
    found = next((tag for tag in _BREAKS if stripped.startswith(tag)), None)
    return stripped.removeprefix(found) if found else text


def _as_html(content: str, leaf: Block, unit: Unit, block: str) -> str:
    """Return a block as one of plain HTML, so that a caption, say, stays around the embed."""
    before, after = content[leaf.open_end : unit.start], content[unit.end : leaf.close_start]
    return f"<!-- wp:html -->{before}{unit.remainder}{_inner(block)}{after}<!-- /wp:html -->"


def _inner(block: str) -> str:
    """Return what a block of plain HTML holds."""
    return block.partition("-->")[2].rpartition("<!--")[0].strip("\n")


def _with_sibling_block(source: Source, top: Block, leaf: Block, unit: Unit, block: str) -> str:
    """Return a source with a block before or behind one that cannot hold it, and without the unit."""
    content = source.content
    empty = leaf is not top and not source.children(leaf, but=unit) and not _shows_more(content, leaf, unit)
    cut = Unit(leaf.start, leaf.end) if empty else unit
    text = content[top.start : cut.start] + cut.remainder + content[cut.end : top.end]
    first = not unit.remainder and not is_visible(content[top.open_end : unit.start])
    return _replaced(content, top.start, top.end, f"{block}\n\n{text}" if first else f"{text}\n\n{block}")
