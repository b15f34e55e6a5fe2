"""The ledger's tables, in SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from pme_airflow.ledger.storable import StorableJSON, StorableString

__all__ = ["EPOCH", "HEAD_REVISION", "UTCTimestamp", "api_facts", "claims", "events", "flags", "link_models", "links",
           "listings", "manifests", "metadata", "models", "paces", "publications", "runs"]  # fmt: skip

#: The migration that makes exactly these tables.
HEAD_REVISION = "0008"

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class UTCTimestamp(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as whole microseconds since 1970 so that every database keeps it exactly."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], int | None]:
        return _to_microseconds

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return _from_microseconds


def _to_microseconds(value: datetime | None) -> int | None:
    return None if value is None else (value - EPOCH) // _MICROSECOND


def _from_microseconds(value: Any) -> datetime | None:
    return None if value is None else EPOCH + timedelta(microseconds=int(value))


#: Columns whose values the package makes itself are plain strings: cleaning them is work that no mint needs.
metadata = MetaData()
#: Case matters in every text, and writers lock rows alone.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_Sequence = BigInteger().with_variant(Integer, "sqlite")

links = Table(
    "pme_links",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("link_id", StorableString(40), nullable=False, unique=True),
    Column("client_id", StorableString(200), nullable=False),
    Column("model_id", StorableString(32), nullable=False),
    Column("audience", StorableString(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("run", StorableString(700), nullable=False),
    Column("run_uid", String(40), nullable=False),
    Column("task_key", String(64)),
    Column("application", StorableString(64)),
    Column("fingerprint", String(80)),
    Column("sealed", Text),
    Column("valid_for", Integer, nullable=False),
    Column("requested_at", UTCTimestamp, nullable=False),
    Column("minted_at", UTCTimestamp),
    Column("valid_until", UTCTimestamp, nullable=False),
    Column("flagged_at", UTCTimestamp),
    Column("flag_reason", StorableString(500)),
    Column("retire_at", UTCTimestamp),
    Column("revoked_at", UTCTimestamp),
    Column("revoke_attempts", Integer, nullable=False),
    Column("next_attempt_at", UTCTimestamp),
    Column("irrevocable", Boolean, nullable=False),
    Column("verified", StorableString(64)),
    Column("sweep_owner", String(40)),
    Column("sweep_until", UTCTimestamp),
    Column("viewer", String(80)),
    Index("pme_links_current", "audience", "model_id", "state"),
    Index("pme_links_fingerprint", "fingerprint"),
    Index("pme_links_until", "state", "valid_until"),
    Index("pme_links_flagged", "state", "flagged_at"),
    Index("pme_links_retire", "state", "retire_at"),
    Index("pme_links_model", "model_id", "state"),
    Index("pme_links_asked", "audience", "requested_at"),
    Index("pme_links_newest", "state", "seq"),
    **_MYSQL,
)

link_models = Table(
    "pme_link_models",
    metadata,
    Column("link_id", StorableString(40), primary_key=True),
    Column("model_id", StorableString(32), primary_key=True),
    **_MYSQL,
)

publications = Table(
    "pme_publications",
    metadata,
    Column("slot_key", String(64), primary_key=True),
    Column("target", StorableString(700), nullable=False),
    Column("slot", StorableString(700), nullable=False),
    Column("link_id", StorableString(40), nullable=False),
    Column("link_seq", BigInteger, nullable=False),
    Column("model_id", StorableString(32), nullable=False),
    Column("audience", StorableString(100), nullable=False),
    Column("published_at", UTCTimestamp, nullable=False),
    Column("run", StorableString(700), nullable=False),
    Column("details", StorableJSON, nullable=False),
    Column("client_id", StorableString(200)),
    Column("publisher", StorableString(250)),
    Index("pme_publications_link", "link_id"),
    Index("pme_publications_owner", "audience", "client_id", "model_id"),
    Index("pme_publications_target", "target"),
    **_MYSQL,
)

events = Table(
    "pme_events",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("at", UTCTimestamp, nullable=False),
    Column("event", String(32), nullable=False),
    Column("link_id", StorableString(40)),
    Column("model_id", StorableString(32)),
    Column("audience", StorableString(100)),
    Column("fingerprint", String(80)),
    Column("run", StorableString(700), nullable=False),
    Column("reason", StorableString(500), nullable=False),
    Column("client_id", StorableString(200)),
    Column("target", StorableString(700)),
    Column("slot", StorableString(700)),
    Column("slot_key", String(64)),
    Index("pme_events_link", "link_id"),
    Index("pme_events_kind", "event", "at"),
    Index("pme_events_slot", "slot_key", "at"),
    **_MYSQL,
)

flags = Table(
    "pme_flags",
    metadata,
    Column("fingerprint", String(80), primary_key=True),
    Column("flagged_at", UTCTimestamp, nullable=False),
    Column("reason", StorableString(500), nullable=False),
    Column("run", StorableString(700), nullable=False),
    Column("hit_at", UTCTimestamp),
    **_MYSQL,
)

claims = Table(
    "pme_claims",
    metadata,
    Column("claim_key", StorableString(200), primary_key=True),
    Column("owner", String(40), nullable=False),
    Column("process", StorableString(200), nullable=False),
    Column("expires_at", UTCTimestamp, nullable=False),
    **_MYSQL,
)

runs = Table(
    "pme_runs",
    metadata,
    Column("run_uid", String(40), primary_key=True),
    Column("run", StorableString(700), nullable=False),
    Column("started_at", UTCTimestamp, nullable=False),
    Column("seen_at", UTCTimestamp, nullable=False),
    Column("finished_at", UTCTimestamp),
    Index("pme_runs_seen", "seen_at"),
    **_MYSQL,
)

manifests = Table(
    "pme_manifests",
    metadata,
    Column("manifest_id", StorableString(80), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("models", JSON, nullable=False),
    Column("seen_at", UTCTimestamp, nullable=False),
    **_MYSQL,
)

listings = Table(
    "pme_listings",
    metadata,
    Column("listing_key", String(64), primary_key=True),
    Column("client_id", StorableString(200), nullable=False),
    Column("audience", StorableString(100), nullable=False),
    Column("query", StorableString(500), nullable=False),
    Column("manifest_id", StorableString(80), nullable=False),
    Column("lister", StorableString(64)),
    Column("seen_at", UTCTimestamp, nullable=False),
    Index("pme_listings_audience", "audience", "client_id"),
    **_MYSQL,
)

models = Table(
    "pme_models",
    metadata,
    Column("client_id", StorableString(200), primary_key=True),
    Column("model_id", StorableString(32), primary_key=True),
    Column("name", StorableString(300), nullable=False),
    **_MYSQL,
)

paces = Table(
    "pme_paces",
    metadata,
    Column("pace_key", String(80), primary_key=True),
    Column("next_at", UTCTimestamp, nullable=False),
    **_MYSQL,
)

api_facts = Table(
    "pme_api_facts",
    metadata,
    Column("api_key", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", String(64), nullable=False),
    Column("learned_at", UTCTimestamp, nullable=False),
    **_MYSQL,
)
