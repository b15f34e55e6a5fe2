"""Messages in a Slack channel: what they say, and how they are recognised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.targets.addresses import checked_link
from pme_airflow.targets.base import ShownLink

__all__ = [
    "CLEARED",
    "block_id_of",
    "block_ids",
    "dark_block",
    "list_content",
    "list_id",
    "message_of",
    "owner_id",
    "slot_id",
    "space_block",
    "text_without_link",
]

#: A message that cannot be deleted is replaced by this one.
CLEARED: Mapping[str, Any] = {"text": "This space is no longer shown here.", "blocks": []}
#: Slack must not turn names, links or channels in a text into links; ``chat.update`` does by default.
_PLAIN = {"parse": "none", "link_names": False}
#: The length of :func:`slot_id` and :func:`list_id`.
_ID_LENGTH = 28
#: The longest text of a section.
_MAX_TEXT = 3000
#: A link in the text of a section. Nothing that is escaped has its form.
_LINK = re.compile(r"\n<https?:[^<>]*>")
#: Characters of formatting: bold, italic, strike-through, code and emoji.
_FORMATTING = re.compile(r"([*_~`:])")


def message_of(slot: str, link: ShownLink) -> dict[str, Any]:
    """Return the arguments of ``chat.postMessage`` and ``chat.update`` that show a link.

    :raises SlotError: for a link that is not an https address.
    """
    return {"text": f"Private space {_escaped(link.name)}", "blocks": [space_block(slot, link)], **_PLAIN}


def space_block(slot: str, link: ShownLink) -> dict[str, Any]:
    """Return the block that shows a link: the name, the end of validity, and the link.

    The link is text. For a click on a button Slack sends the app an interaction too, with the link in it, and warns the
    reader where the app takes none.

    :raises SlotError: for a link that is not an https address, or longer than a text may be.
    """
    checked_link(link.url.reveal())
    ends = int(link.valid_until.timestamp())
    until = f"<!date^{ends}^{{date_short_pretty}}, {{time}}|{link.valid_until.strftime('%Y-%m-%d %H:%M UTC')}>"
    text = f"Space `{_escaped(link.model_id)}` for {_escaped(link.audience)}, until {until}"
    shown = f"{text}\n<{_entities(link.url.reveal())}|Open the space>"  # a checked link has no vertical bar
    block = _section(block_id_of(slot, link.link_id), link.name, shown)
    if len(block["text"]["text"]) > _MAX_TEXT:
        raise SlotError(f"with the link the text is longer than the {_MAX_TEXT} characters of Slack: shorten params")
    return block


def text_without_link(block: Mapping[str, Any]) -> str:
    """Return the text of a block without the link in it."""
    return _LINK.sub("", block["text"]["text"])


def dark_block(slot: str, name: str) -> dict[str, Any]:
    """Return the block of a space that has no live link at the moment."""
    return _section(f"{slot_id(slot)}-none", name, "no link at the moment")


def list_content(document: str, number: int, blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the arguments of ``chat.postMessage`` and ``chat.update`` that show one message of a list.

    :param document: the audience, and a slash.
    :param number: the message's place in the list, from 0.
    """
    title = f"Private spaces for {document.rstrip('/')}"
    heading = _section(f"{list_id(document)}-{number}", title, "continued" if number else "")
    return {"text": _escaped(title), "blocks": [heading, *blocks], **_PLAIN}


def _section(block_id: str, title: str, text: str) -> dict[str, Any]:
    shown = f"*\u2068{_escaped(title)}\u2069*" + (f"\n{text}" if text else "")
    return {"type": "section", "block_id": block_id, "text": {"type": "mrkdwn", "text": shown, "verbatim": True}}


def slot_id(slot: str) -> str:
    """Return the beginning of the ids of a slot's blocks, whichever link they show."""
    return f"pme-{hashlib.sha256(slot.encode()).hexdigest()[:24]}"


def list_id(document: str) -> str:
    """Return the beginning of the ids of the headings of a list's messages."""
    return f"pml-{hashlib.sha256(document.encode()).hexdigest()[:24]}"


def owner_id(block_id: str) -> str:
    """Return the part of a message's first block id that names the slot or list that the message belongs to."""
    return block_id[:_ID_LENGTH]


def block_id_of(slot: str, link_id: str) -> str:
    """Return the id of the block that shows a link in a slot."""
    return f"{slot_id(slot)}-{link_id[-12:]}"


def block_ids(message: Mapping[str, Any]) -> list[str]:
    """Return the ids of the blocks of a message in a channel."""
    blocks = message.get("blocks")
    if not isinstance(blocks, list):
        return []
    return [str(block.get("block_id") or "") for block in blocks if isinstance(block, Mapping)]


def _escaped(text: str) -> str:
    """Escape a text so that Slack reads no mention, link, channel or formatting in it."""
    return _FORMATTING.sub("\u200b\\1", _entities(text))


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
