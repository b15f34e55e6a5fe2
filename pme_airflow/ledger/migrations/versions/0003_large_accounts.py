"""What large accounts need: manifests, a pace that tasks share, and indexes for each question that is asked often."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pme_airflow.ledger.migrations import steps

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    steps.create_table(
        "pme_manifests",
        sa.Column("manifest_id", sa.String(80), primary_key=True),
        sa.Column("page", sa.Integer, primary_key=True),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    steps.create_table(
        "pme_paces",
        sa.Column("pace_key", sa.String(80), primary_key=True),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    steps.create_index("pme_links_asked", "pme_links", ["audience", "requested_at"])
    steps.create_index("pme_links_newest", "pme_links", ["state", "seq"])
    steps.create_index("pme_events_kind", "pme_events", ["event", "at"])
    steps.drop_index("pme_events_at", "pme_events")
    steps.create_index("pme_publications_target", "pme_publications", ["target"])


def downgrade() -> None:
    steps.drop_index("pme_publications_target", "pme_publications")
    steps.create_index("pme_events_at", "pme_events", ["at"])
    steps.drop_index("pme_events_kind", "pme_events")
    steps.drop_index("pme_links_newest", "pme_links")
    steps.drop_index("pme_links_asked", "pme_links")
    steps.drop_table("pme_paces")
    steps.drop_table("pme_manifests")
