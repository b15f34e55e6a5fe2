"""The target and slot of each event, so that a slot's history can be read; and the names of models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from pme_airflow.ledger.migrations import steps

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_CHUNK = 500
#: Reasons were cut at this length, so the slot in a longer one is not whole.
_CUT = 500
_MOVED = re.compile(r"(?P<target>.*?) is the name of .* now; it shows it at (?P<slot>.*)", re.DOTALL)
_SHOWN = re.compile(r"(?P<target>.*?) shows it at (?P<slot>.*)", re.DOTALL)
_WITHDRAWN = re.compile(r"(?P<target>.*?) no longer shows it at (?P<rest>.*)", re.DOTALL)


def upgrade() -> None:
    for name, length in (("target", 700), ("slot", 700), ("slot_key", 64)):
        steps.add_column("pme_events", sa.Column(name, sa.String(length)))
    steps.create_table(
        "pme_models",
        sa.Column("client_id", sa.String(200), primary_key=True),
        sa.Column("model_id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(300), nullable=False),
        **_MYSQL,
    )
    slots_of_links = _fill_published()
    _fill_withdrawn(slots_of_links)
    steps.create_index("pme_events_slot", "pme_events", ["slot_key", "at"])


def _fill_published() -> dict[str, set[tuple[str, str]]]:
    """Fill the events of publications; return the targets and slots that each link was shown at."""
    found: dict[str, set[tuple[str, str]]] = {}
    for rows in _pages("published"):
        changes = []
        for seq, link_id, reason in rows:
            place = None if len(reason) >= _CUT else _MOVED.fullmatch(reason) or _SHOWN.fullmatch(reason)
            if place is not None:
                found.setdefault(link_id, set()).add((place["target"], place["slot"]))
                changes.append(_change(seq, place["target"], place["slot"]))
        _apply(changes)
    return found


def _fill_withdrawn(slots_of_links: dict[str, set[tuple[str, str]]]) -> None:
    """Fill the events of withdrawals, whose reason follows the slot: only a slot the link was shown at is taken."""
    for rows in _pages("withdrawn"):
        changes = []
        for seq, link_id, reason in rows:
            begins = _WITHDRAWN.fullmatch(reason)
            known = slots_of_links.get(link_id, set()) if begins else set()
            slots = [slot for target, slot in known if begins and target == begins["target"]
                     and begins["rest"].startswith(f"{slot}: ")]  # fmt: skip
            if begins and slots:
                changes.append(_change(seq, begins["target"], max(slots, key=len)))
        _apply(changes)


def _pages(event: str) -> Any:
    query = sa.text(
        "SELECT seq, link_id, reason FROM pme_events WHERE event = :event AND seq > :after AND link_id IS NOT NULL "
        f"ORDER BY seq LIMIT {_CHUNK}"
    )
    after = 0
    while rows := op.get_bind().execute(query, {"event": event, "after": after}).all():
        yield rows
        after = rows[-1][0]


def _change(seq: int, target: str, slot: str) -> dict[str, Any]:
    key = hashlib.sha256(f"{target}\n{slot}".encode(errors="surrogatepass")).hexdigest()
    return {"seq": seq, "target": target, "slot": slot, "key": key}


def _apply(changes: Sequence[dict[str, Any]]) -> None:
    if changes:
        change = sa.text("UPDATE pme_events SET target = :target, slot = :slot, slot_key = :key WHERE seq = :seq")
        op.get_bind().execute(change, list(changes))


def downgrade() -> None:
    steps.drop_index("pme_events_slot", "pme_events")
    steps.drop_table("pme_models")
    for name in ("slot_key", "slot", "target"):
        steps.drop_column("pme_events", name)
