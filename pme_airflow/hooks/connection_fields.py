"""The fields of a PME connection, as its form and its errors name them. Imports nothing of Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["API_ADDRESS", "CLIENT_ID", "CLIENT_SECRET", "EXTRAS", "PORT", "ExtraField", "extra_label"]

CLIENT_ID = "Client ID"
CLIENT_SECRET = "Client secret"  # noqa: S105 - a label
API_ADDRESS = "API address"
PORT = "Port"


@dataclass(frozen=True)
class ExtraField:
    """One field of the form that is stored in the connection's extra.

    :param kind: its JSON type.
    :param secret: whether the form hides it.
    :param least: the lowest number that is accepted.
    :param most: the highest one.
    """

    label: str
    kind: str
    description: str
    secret: bool = False
    least: float = 0
    most: float = 0

    @property
    def schema(self) -> dict[str, Any]:
        """The field's JSON schema, as Airflow's form reads it."""
        return {"type": [self.kind, "null"], **({"format": "password"} if self.secret else {})}


EXTRAS: dict[str, ExtraField] = {
    "ledger_conn_id": ExtraField(
        "Ledger connection",
        "string",
        "The SQL connection the ledger lives in. Empty: an SQLite file in $AIRFLOW_HOME.",
    ),
    "seal_keys": ExtraField(
        "Seal keys",
        "string",
        "Keys that seal links at rest, newest first, commas between or a JSON list; open:SECRET for an earlier secret.",
        secret=True,
    ),
    "batch_size": ExtraField(
        "Batch size",
        "integer",
        "Links in one request. Empty: 10, and up to 25 while the API takes them.",
        least=1,
        most=1000,
    ),
    "max_concurrency": ExtraField(
        "Concurrency",
        "integer",
        "Requests at once. Empty: 8, and more while the API answers faster.",
        least=1,
        most=256,
    ),
    "requests_per_second": ExtraField(
        "Requests a second", "number", "A hard limit for all tasks together. Empty: none.", least=0.001, most=100_000
    ),
    "timeout": ExtraField("Timeout", "number", "Seconds to wait for an answer. Default 30.", least=0.1, most=3600),
}


def extra_label(name: str) -> str:
    """Return how errors name an extra: the form's label, and the key for those who write the extra as JSON."""
    return f"{EXTRAS[name].label} (extra {name})"
