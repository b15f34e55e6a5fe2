"""Whose token a link is, where each viewer has one of their own."""

from __future__ import annotations

import sqlalchemy as sa

from pme_airflow.ledger.migrations import steps

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.add_column("pme_links", sa.Column("viewer", sa.String(80)))


def downgrade() -> None:
    steps.drop_column("pme_links", "viewer")
