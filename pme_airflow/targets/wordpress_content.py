"""A link's block in the source of a WordPress page: finding it, and replacing it alone."""

from __future__ import annotations

import html
import re

from pme_airflow.errors import SlotError
from pme_airflow.leaks.encodings import tokens_in
from pme_airflow.targets.base import ShownLink

__all__ = ["cleared", "is_stale", "link_block", "placed"]

_ANY_BLOCK = re.compile(r"<!-- pme:([A-Za-z0-9]+) -->.*?<!-- /pme:\1 -->", re.DOTALL)


def link_block(link: ShownLink) -> str:
    """Return the block that shows a link."""
    url = html.escape(link.url.reveal(), quote=True)
    title = html.escape(link.name, quote=True).replace("[", "&#91;").replace("]", "&#93;")  # else a shortcode would run
    return (
        f"<!-- wp:html --><!-- pme:{link.model_id} -->"
        f'<iframe src="{url}" title="{title}" width="100%" height="480" '
        f'referrerpolicy="no-referrer" allowfullscreen></iframe><!-- /pme:{link.model_id} --><!-- /wp:html -->'
    )


def placed(content: str, block: str, model_id: str) -> str:
    """Return the content with the block in its place; every other byte stays as it was.

    The place is the model's block of before, else an iframe that shows the model, else the placeholder
    ``[pme model=…]``, else the end.
    """
    found = _find(content, model_id)
    if found:
        return content[: found[0]] + block + content[found[1] :]
    placeholders = list(re.finditer(rf"\[pme model={re.escape(model_id)}\]", content))
    if len(placeholders) > 1:
        raise SlotError(f"the page holds {len(placeholders)} marks [pme model={model_id}]: leave one")
    if placeholders:
        return content[: placeholders[0].start()] + block + content[placeholders[0].end() :]
    return f"{content}\n\n{block}" if content else block


def cleared(content: str, model_id: str) -> str:
    """Return the content with a placeholder where the model's block stood."""
    found = _find(content, model_id)
    return content[: found[0]] + f"[pme model={model_id}]" + content[found[1] :] if found else content


def is_stale(revision: str, content: str) -> bool:
    """Return whether a revision holds a link or a model's block that the page's content does not."""
    if set(tokens_in(revision)) - set(tokens_in(content)):
        return True
    return any(found[0] not in content for found in _ANY_BLOCK.finditer(revision))


def _find(content: str, model_id: str) -> tuple[int, int] | None:
    """Return the start and end of a model's block, or of an iframe that shows the model."""
    name = re.escape(model_id)
    patterns = (
        rf"(?:<!-- wp:html -->\s*)?<!-- pme:{name} -->.*?<!-- /pme:{name} -->(?:\s*<!-- /wp:html -->)?",
        rf"<iframe\b[^>]*[?&;]m={name}\b[^>]*>\s*</iframe>",
    )
    for pattern in patterns:
        found = list(re.finditer(pattern, content, re.DOTALL))
        if len(found) > 1:
            raise SlotError(f"the page holds {len(found)} blocks of model {model_id}: leave one")
        if found:
            return found[0].span()
    return None
