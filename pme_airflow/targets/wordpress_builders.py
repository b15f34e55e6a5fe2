"""Name the page builder that shows a page: most keep what they show in data of their own, not in the page's source.

Elementor keeps it in the post meta ``_elementor_data``, Beaver Builder in ``_fl_builder_data``, Bricks in
``_bricks_page_content_2``, Oxygen in ``_ct_builder_json`` and Breakdance in ``_breakdance_data``: WordPress' REST API
neither shows nor takes any of these. The page's source is a copy without effect, or empty.
"""

from __future__ import annotations

import re

from pme_airflow.errors import SlotError
from pme_airflow.targets.shown_tokens import tokens_of

__all__ = ["builder_advice", "builder_of", "not_shown", "still_shown"]

#: What each builder writes into the HTML of what it shows.
_TRACES = {
    "Elementor": r"data-elementor-(?:type|id)=",
    "Beaver Builder": r"\bfl-builder-content\b",
    "Bricks": r"\bbrxe-[a-z]|id=[\"']brx-content\b",
    "Breakdance": r"\bbde-[a-z]|class=[\"'][^\"'<>]{0,200}\bbreakdance\b",
    "Oxygen": r"\bct-section\b|\boxy-[a-z]",
    "Divi": r"\bet_pb_section\b|\bet-boc\b",
    "Thrive Architect": r"\btve_editor\b|\bthrv_wrapper\b",
    "SiteOrigin": r"\bpanel-layout\b",
}
_FINDERS = {name: re.compile(trace) for name, trace in _TRACES.items()}


def builder_of(rendered: str) -> str | None:
    """Return the name of the page builder that made some HTML; ``None`` if none is recognized."""
    return next((name for name, finder in _FINDERS.items() if finder.search(rendered)), None)


def builder_advice(rendered: str, model_id: str) -> str:
    """Return what to do about a page whose builder shows something else than its source; empty without a builder."""
    builder = builder_of(rendered)
    if builder is None:
        return ""
    return (
        f"the page is built with {builder}, which shows data of its own and not the page's source. Install the plugin "
        f"pme-embed, and in {builder} replace the embed of model {model_id} by a shortcode widget with [pme "
        f"model={model_id}]"
    )


def not_shown(what: str) -> SlotError:
    """Return the error of a page that holds something and does not show it, where no builder is recognized."""
    problem = f"the page holds {what}, but does not show it to readers"
    return SlotError(f"{problem}: does a page builder or its template show something else?", passing=True)


def still_shown(rendered: str, model_id: str) -> str:
    """Return where a page still shows a link of a model after its source was cleared; empty if it shows none."""
    if not tokens_of(rendered, model_id):
        return ""
    builder = builder_of(rendered)
    kept = f"{builder} keeps it in data of its own: take it out in {builder}" if builder else "empty the page cache"
    return f"visitors are still shown a link of model {model_id}: {kept}"
