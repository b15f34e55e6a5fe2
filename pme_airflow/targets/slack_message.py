"""The message of a slot in a Slack channel: what it says, and how it is recognised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from pme_airflow.targets.addresses import checked_link
from pme_airflow.targets.base import ShownLink

__all__ = ["CLEARED", "SLOT_ID_LENGTH", "block_id_of", "block_ids", "message_of", "slot_id"]

#: A message that cannot be deleted is replaced by this one.
CLEARED: Mapping[str, Any] = {"text": "This space is no longer shown here.", "blocks": []}
#: Slack must not turn names, links or channels in a text into links; ``chat.update`` does by default.
_PLAIN = {"parse": "none", "link_names": False}
#: The length of :func:`slot_id`.
SLOT_ID_LENGTH = 28
#: Characters of formatting: bold, italic, strike-through, code and emoji.
_FORMATTING = re.compile(r"([*_~`:])")


def message_of(slot: str, link: ShownLink) -> dict[str, Any]:
    """Return the arguments of ``chat.postMessage`` and ``chat.update`` that show a link.

    :raises SlotError: for a link that is not an https address.
    """
    checked_link(link.url.reveal())
    ends = int(link.valid_until.timestamp())
    until = f"<!date^{ends}^{{date_short_pretty}}, {{time}}|{link.valid_until.strftime('%Y-%m-%d %H:%M UTC')}>"
    name = _escaped(link.name)
    text = f"*\u2068{name}\u2069*\nSpace `{_escaped(link.model_id)}` for {_escaped(link.audience)}, until {until}"
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open the space"},
        "url": link.url.reveal(),
        "action_id": "pme_open",
    }
    block = {
        "type": "section",
        "block_id": block_id_of(slot, link.link_id),
        "text": {"type": "mrkdwn", "text": text, "verbatim": True},
        "accessory": button,
    }
    return {"text": f"Private space {name}", "blocks": [block], **_PLAIN}


def slot_id(slot: str) -> str:
    """Return the beginning of the ids of a slot's blocks, whichever link they show."""
    return f"pme-{hashlib.sha256(slot.encode()).hexdigest()[:24]}"


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
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _FORMATTING.sub("\u200b\\1", plain)
