"""An API at a host that does not exist, whose responses a test scripts one by one."""

from __future__ import annotations

from typing import Any

from pme_airflow.api.messages import MintRequest
from pme_airflow.durations import Validity
from tests.conftest import MODELS

HOST = "https://api.example.test"
GRAPH = f"{HOST}/api/models/graph"
TOKEN = f"{HOST}/api/oauth/token"
TEN_MINUTES = Validity(600)


def requests_for(count: int) -> list[MintRequest]:
    """Mint requests for the first models."""
    return [MintRequest(model_id, TEN_MINUTES) for model_id in list(MODELS)[:count]]


def link(alias: str = "q") -> dict[str, str]:
    """A link as the API returns it."""
    return {"accessToken": alias * 10, "application": "showcase", "validUntil": "2026-05-01T12:10:00Z",
            "link": f"https://my.matterport.com/show?m=Model000000&auth=Bearer+{alias * 10}"}  # fmt: skip


def made(*aliases: str) -> dict[str, Any]:
    """A scripted response in which every alias of a mint was made."""
    return {"json": {"data": {alias: link(alias) for alias in aliases or ("a0",)}}}
