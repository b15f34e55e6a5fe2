"""Whose links slots show, which task minted a link, and what each query listed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from pme_airflow.ledger.migrations import steps

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_CHUNK = 500
#: Runs were cut at this length, so that a longer one does not end with its map index.
_CUT = 700


def upgrade() -> None:
    steps.add_column("pme_links", sa.Column("task_key", sa.String(64)))
    steps.add_column("pme_publications", sa.Column("client_id", sa.String(200)))
    steps.add_column("pme_publications", sa.Column("publisher", sa.String(250)))
    steps.add_column("pme_events", sa.Column("client_id", sa.String(200)))
    steps.create_table(
        "pme_listings",
        sa.Column("listing_key", sa.String(64), primary_key=True),
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("audience", sa.String(100), nullable=False),
        sa.Column("query", sa.String(500), nullable=False),
        sa.Column("manifest_id", sa.String(80), nullable=False),
        sa.Column("lister", sa.String(64)),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    steps.create_index("pme_listings_audience", "pme_listings", ["audience", "client_id"])
    _fill_client_ids()
    _fill("pme_publications", "slot_key", "publisher", "1 = 1", _publisher)
    _fill("pme_links", "link_id", "task_key", "state IN ('live', 'minting')", _task_key)
    steps.create_index("pme_publications_owner", "pme_publications", ["audience", "client_id", "model_id"])
    steps.drop_index("pme_publications_audience", "pme_publications")


def _fill_client_ids() -> None:
    op.execute(
        "UPDATE pme_publications SET client_id = (SELECT pme_links.client_id FROM pme_links "
        "WHERE pme_links.link_id = pme_publications.link_id)"
    )
    op.execute(
        "UPDATE pme_events SET client_id = (SELECT pme_publications.client_id FROM pme_publications WHERE "
        "pme_publications.audience = pme_events.audience AND pme_publications.model_id = pme_events.model_id "
        "ORDER BY pme_publications.slot_key LIMIT 1) WHERE event = 'delisted'"
    )


def _fill(table: str, key: str, column: str, where: str, value_of: Any) -> None:
    """Fill a new column from the run of each row, a chunk of rows at a time."""
    connection = op.get_bind()
    query = sa.text(f"SELECT {key}, run FROM {table} WHERE {where} AND {key} > :after ORDER BY {key} LIMIT {_CHUNK}")
    change = sa.text(f"UPDATE {table} SET {column} = :value WHERE {key} = :key")
    after = ""
    while rows := connection.execute(query, {"after": after}).all():
        connection.execute(change, [{"key": row[0], "value": value_of(row[1])} for row in rows])
        after = rows[-1][0]


def _fields(run: str) -> list[str] | None:
    """Split the run of a task into DAG, run, task and map index; none of an Airflow id holds a slash."""
    fields = run.split("/")
    return fields if len(fields) == 4 and len(run) < _CUT and fields[3].lstrip("-").isdigit() else None


def _publisher(run: str) -> str | None:
    fields = _fields(run)
    return None if fields is None else fields[0]


def _task_key(run: str) -> str | None:
    fields = _fields(run)
    return None if fields is None else hashlib.sha256(json.dumps(fields[:3]).encode()).hexdigest()


def downgrade() -> None:
    steps.create_index("pme_publications_audience", "pme_publications", ["audience", "model_id"])
    steps.drop_index("pme_publications_owner", "pme_publications")
    steps.drop_table("pme_listings")
    steps.drop_column("pme_events", "client_id")
    steps.drop_column("pme_publications", "publisher")
    steps.drop_column("pme_publications", "client_id")
    steps.drop_column("pme_links", "task_key")
