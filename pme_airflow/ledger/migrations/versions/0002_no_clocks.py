"""The server's time is asked for in each process; no table of clocks is kept."""

from __future__ import annotations

import sqlalchemy as sa

from pme_airflow.ledger.migrations import steps

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.drop_table("pme_clocks")


def downgrade() -> None:
    steps.create_table(
        "pme_clocks",
        sa.Column("host", sa.String(200), primary_key=True),
        sa.Column("lead_us", sa.BigInteger, nullable=False),
        sa.Column("observed_at", sa.BigInteger, nullable=False),
        sa.Column("monotonic", sa.BigInteger, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
