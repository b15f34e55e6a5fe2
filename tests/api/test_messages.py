"""A link knows how long the API let it live; a request names its models in messages."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.durations import Validity
from pme_airflow.secrets import AccessToken, SecretStr

ISSUED = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"


def link(issued_at: datetime | None) -> EmbedLink:
    address = SecretStr(f"https://x.test/?auth=Bearer+{TOKEN}")
    return EmbedLink("M", AccessToken(TOKEN), "showcase", address, ISSUED + timedelta(hours=1), issued_at)


def test_what_was_granted_is_known_where_the_time_of_issue_is() -> None:
    assert link(ISSUED).granted == timedelta(hours=1)
    assert link(None).granted is None


def test_a_link_is_printed_without_its_token() -> None:
    assert TOKEN not in repr(link(ISSUED))


def test_a_request_names_its_model_or_all_of_them() -> None:
    assert MintRequest("M1", Validity(600)).named_models == "Model M1"
    assert MintRequest("M1", Validity(600), ("M1", "M2")).named_models == "Models M1, M2"
