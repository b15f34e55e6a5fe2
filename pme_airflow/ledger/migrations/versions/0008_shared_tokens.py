"""The models of tokens that open several; the links that are there are tokens of one model."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pme_airflow.ledger.migrations import steps

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    steps.create_table(
        "pme_link_models",
        sa.Column("link_id", sa.String(40), primary_key=True),
        sa.Column("model_id", sa.String(32), primary_key=True),
        **_MYSQL,
    )


def downgrade() -> None:
    steps.drop_table("pme_link_models")
