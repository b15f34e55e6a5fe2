"""What was learned about each API, kept for the next processes."""

from __future__ import annotations

import sqlalchemy as sa

from pme_airflow.ledger.migrations import steps

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.create_table(
        "pme_api_facts",
        sa.Column("api_key", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(64), nullable=False),
        sa.Column("learned_at", sa.BigInteger, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    steps.drop_table("pme_api_facts")
