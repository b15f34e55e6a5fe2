"""Links, publications, events, flags, claims, runs and clocks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pme_airflow.ledger.migrations import steps

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _moment(name: str, *, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    steps.create_table(
        "pme_links",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("link_id", sa.String(40), nullable=False, unique=True),
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("model_id", sa.String(32), nullable=False),
        sa.Column("audience", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run", sa.String(700), nullable=False),
        sa.Column("run_uid", sa.String(40), nullable=False),
        sa.Column("application", sa.String(64)),
        sa.Column("fingerprint", sa.String(80)),
        sa.Column("sealed", sa.Text),
        sa.Column("valid_for", sa.Integer, nullable=False),
        _moment("requested_at", nullable=False),
        _moment("minted_at"),
        _moment("valid_until", nullable=False),
        _moment("flagged_at"),
        sa.Column("flag_reason", sa.String(500)),
        _moment("retire_at"),
        _moment("revoked_at"),
        sa.Column("revoke_attempts", sa.Integer, nullable=False),
        _moment("next_attempt_at"),
        sa.Column("irrevocable", sa.Boolean, nullable=False),
        sa.Column("verified", sa.String(64)),
        sa.Column("sweep_owner", sa.String(40)),
        _moment("sweep_until"),
        **_MYSQL,
    )
    for name, columns in {
        "pme_links_current": ["audience", "model_id", "state"],
        "pme_links_fingerprint": ["fingerprint"],
        "pme_links_until": ["state", "valid_until"],
        "pme_links_flagged": ["state", "flagged_at"],
        "pme_links_retire": ["state", "retire_at"],
        "pme_links_model": ["model_id", "state"],
    }.items():
        steps.create_index(name, "pme_links", columns)
    steps.create_table(
        "pme_publications",
        sa.Column("slot_key", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(700), nullable=False),
        sa.Column("slot", sa.String(700), nullable=False),
        sa.Column("link_id", sa.String(40), nullable=False),
        sa.Column("link_seq", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.String(32), nullable=False),
        sa.Column("audience", sa.String(100), nullable=False),
        _moment("published_at", nullable=False),
        sa.Column("run", sa.String(700), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        **_MYSQL,
    )
    steps.create_index("pme_publications_link", "pme_publications", ["link_id"])
    steps.create_index("pme_publications_audience", "pme_publications", ["audience", "model_id"])
    steps.create_table(
        "pme_events",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        _moment("at", nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("link_id", sa.String(40)),
        sa.Column("model_id", sa.String(32)),
        sa.Column("audience", sa.String(100)),
        sa.Column("fingerprint", sa.String(80)),
        sa.Column("run", sa.String(700), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        **_MYSQL,
    )
    steps.create_index("pme_events_link", "pme_events", ["link_id"])
    steps.create_index("pme_events_at", "pme_events", ["at"])
    steps.create_table(
        "pme_flags",
        sa.Column("fingerprint", sa.String(80), primary_key=True),
        _moment("flagged_at", nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("run", sa.String(700), nullable=False),
        _moment("hit_at"),
        **_MYSQL,
    )
    steps.create_table(
        "pme_claims",
        sa.Column("claim_key", sa.String(200), primary_key=True),
        sa.Column("owner", sa.String(40), nullable=False),
        sa.Column("process", sa.String(200), nullable=False),
        _moment("expires_at", nullable=False),
        **_MYSQL,
    )
    steps.create_table(
        "pme_runs",
        sa.Column("run_uid", sa.String(40), primary_key=True),
        sa.Column("run", sa.String(700), nullable=False),
        _moment("started_at", nullable=False),
        _moment("seen_at", nullable=False),
        _moment("finished_at"),
        **_MYSQL,
    )
    steps.create_index("pme_runs_seen", "pme_runs", ["seen_at"])
    steps.create_table(
        "pme_clocks",
        sa.Column("host", sa.String(200), primary_key=True),
        sa.Column("lead_us", sa.BigInteger, nullable=False),
        _moment("observed_at", nullable=False),
        sa.Column("monotonic", sa.BigInteger, nullable=False),
        **_MYSQL,
    )


def downgrade() -> None:
    for name in ("clocks", "runs", "claims", "flags", "events", "publications", "links"):
        steps.drop_table(f"pme_{name}")
