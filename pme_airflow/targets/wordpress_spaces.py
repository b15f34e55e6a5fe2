"""The place of a model in the source of a page that has no link in it: the plugin's block or shortcode."""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from pme_airflow.embed_params import query_pairs
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.html_tokens import Tag, tokens
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.wordpress_blocks import blocks_of
from pme_airflow.targets.wordpress_content import cleared, placed
from pme_airflow.targets.wordpress_frames import default_frame, renewed_frame

__all__ = ["as_placeholder", "holds_space", "sources_in", "with_space"]

_BLOCK = "pme/space"
_SHORTCODE = re.compile(r"(?<!\[)\[pme(?=\s)([^\[\]<>]{0,2000})\](?!\])")
_MODEL = re.compile(r"\bmodel\s{0,9}=\s{0,9}(?:&quot;|&#0?34;|&#822[01];|[\"'])?([A-Za-z0-9]{1,64})(?![A-Za-z0-9])")
_SIZE = re.compile(r"[0-9]{1,4}(?:px|%|vh|vw|em|rem)?\Z")
_SOURCE = re.compile(r"\bdata-pme-source=(?:\"([^\"]{1,2000})\"|'([^']{1,2000})')")
#: What WordPress escapes in the JSON of a block, so that it stays inside of a comment.
_ESCAPES = {"--": "\\u002d\\u002d", "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", '\\"': "\\u0022"}
#: Parameters that select what is opened and do not change how it looks.
_NOT_LOOKS = frozenset({"access_token", "applicationkey", "auth", "m", "model"})


@dataclass(frozen=True)
class _Space:
    """What a block or shortcode says of a space."""

    model: str
    title: str = ""
    height: str = ""
    params: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value}

    def shortcode(self) -> str:
        """Return it as a shortcode, in ASCII, since tables in ``utf8mb3`` take no emoji."""
        pairs = (f'{name}="{_in_shortcode(value)}"' for name, value in self.attributes.items())
        return f"[pme {' '.join(pairs)}]"

    def block(self) -> str:
        """Return it as a block, as the block editor writes it."""
        text = json.dumps(self.attributes, separators=(",", ":"))
        for plain, escaped in _ESCAPES.items():
            text = text.replace(plain, escaped)
        return f"<!-- wp:{_BLOCK} {text} /-->"


def holds_space(content: str, model_id: str) -> bool:
    """Return whether a source has the plugin's block or shortcode of a model."""
    return any(_shortcodes(content, model_id)) or any(_blocks(content, model_id))


def with_space(content: str, link: ShownLink) -> str:
    """Return a source with the plugin's block or shortcode in the place of a model, and no link of it.

    A block or shortcode that is there stays as it is. Else it takes the place of the link, with the title, the height
    and the Showcase parameters of its iframe; or of another embed of the model; or stands at the end.
    """
    if holds_space(content, link.model_id):
        return cleared(content, link.model_id)
    made: list[_Space] = []

    def shortcode(replaced: str) -> str:
        made[:] = [_space_of(link, replaced)]
        return made[0].shortcode()

    changed = placed(content, shortcode, link.model_id)
    space = made[0]
    return changed.replace(f"<!-- wp:html -->\n{space.shortcode()}\n<!-- /wp:html -->", space.block(), 1)


def as_placeholder(content: str, model_id: str) -> str:
    """Return a source with placeholders where the plugin's blocks and shortcodes of a model stand.

    A source that shows a link of the model stays as it is.
    """
    if tokens_of(content, model_id):
        return content
    placeholder = f"[pme model={model_id}]"
    for start, end in sorted([*_shortcodes(content, model_id), *_blocks(content, model_id)], reverse=True):
        is_block = content.startswith("<!--", start)
        text = f"<!-- wp:shortcode -->\n{placeholder}\n<!-- /wp:shortcode -->" if is_block else placeholder
        content = content[:start] + text + content[end:]
    return content


def sources_in(rendered: str, model_id: str) -> list[str]:
    """Return the addresses in a rendered page at which a visitor's browser reads a model's link."""
    found = (html.unescape(match[1] or match[2]) for match in _SOURCE.finditer(rendered))
    return [source for source in found if re.search(rf"/links/{model_id}(?![A-Za-z0-9])", source.replace("%2F", "/"))]


def _shortcodes(content: str, model_id: str) -> list[tuple[int, int]]:
    found = ((match, _MODEL.search(match[1])) for match in _SHORTCODE.finditer(content))
    return [match.span() for match, model in found if model is not None and model[1] == model_id]


def _blocks(content: str, model_id: str) -> list[tuple[int, int]]:
    if _BLOCK not in content:
        return []
    return [
        (block.start, block.end)
        for block in blocks_of(content)
        if block.name == _BLOCK and _attributes(block.attributes).get("model") == model_id
    ]


def _attributes(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _space_of(link: ShownLink, replaced: str) -> _Space:
    """Return a space with the looks of what it replaces."""
    frame = (renewed_frame(replaced, link) if replaced else None) or default_frame(link, replaced)
    tag = next(token for token in tokens(frame) if isinstance(token, Tag) and token.name == "iframe")
    title, height = " ".join(tag.attributes.get("title", "").split()), tag.attributes.get("height", "")
    return _Space(
        link.model_id,
        title if title != link.model_id else "",  # a model without a name
        height if _SIZE.match(height) else "",
        _params_of(tag.attributes.get("src", ""), link),
    )


def _params_of(address: str, link: ShownLink) -> str:
    """Return the Showcase parameters of an address that the link itself has not."""
    own = {name for name, _ in query_pairs(urlsplit(link.url.reveal()).query)} | _NOT_LOOKS
    pairs = query_pairs(address.partition("#")[0].partition("?")[2])
    return "&".join(f"{name}={value}" for name, value in pairs if name.lower() not in own)


def _in_shortcode(value: str) -> str:
    """Return a text for an attribute of a shortcode: without what would end it."""
    text = html.escape(value, quote=True).replace("[", "&#91;").replace("]", "&#93;")
    return text.encode("ascii", "xmlcharrefreplace").decode()
