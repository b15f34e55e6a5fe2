"""What large accounts need: manifests, a pace that tasks share, and indexes for each question that is asked often."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "pme_manifests",
        sa.Column("manifest_id", sa.String(80), primary_key=True),
        sa.Column("page", sa.Integer, primary_key=True),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "pme_paces",
        sa.Column("pace_key", sa.String(80), primary_key=True),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    op.create_index("pme_links_asked", "pme_links", ["audience", "requested_at"])
    op.create_index("pme_links_newest", "pme_links", ["state", "seq"])
    op.create_index("pme_events_kind", "pme_events", ["event", "at"])
    op.drop_index("pme_events_at", "pme_events")
    op.create_index("pme_publications_target", "pme_publications", ["target"])


def downgrade() -> None:
    op.drop_index("pme_publications_target", "pme_publications")
    op.create_index("pme_events_at", "pme_events", ["at"])
    op.drop_index("pme_events_kind", "pme_events")
    op.drop_index("pme_links_newest", "pme_links")
    op.drop_index("pme_links_asked", "pme_links")
    op.drop_table("pme_paces")
    op.drop_table("pme_manifests")
