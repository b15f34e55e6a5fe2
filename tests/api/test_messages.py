"""A link knows how long the API let it live, and whether that is less than was requested."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pme_airflow.api.messages import EmbedLink
from pme_airflow.durations import Validity
from pme_airflow.secrets import AccessToken, SecretStr

ISSUED = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"


def link(given: timedelta, issued_at: datetime | None = ISSUED, requested: str | None = "24h") -> EmbedLink:
    validity = Validity.parse(requested) if requested else None
    address = SecretStr(f"https://x.test/?auth=Bearer+{TOKEN}")
    return EmbedLink("M", AccessToken(TOKEN), "showcase", address, ISSUED + given, issued_at, validity)


@pytest.mark.parametrize(
    ("given", "shortened"),
    [
        (timedelta(hours=24), False),
        (timedelta(hours=25), False),
        (timedelta(hours=24) - timedelta(seconds=60), False),
        (timedelta(hours=24) - timedelta(seconds=61), True),
        (timedelta(hours=1), True),
    ],
)
def test_a_minute_of_rounding_and_transport_shortens_nothing(given: timedelta, shortened: bool) -> None:
    assert link(given).granted == given
    assert link(given).is_shortened is shortened


def test_what_is_not_known_shortens_nothing() -> None:
    assert link(timedelta(hours=1), issued_at=None).granted is None
    assert not link(timedelta(hours=1), issued_at=None).is_shortened
    assert not link(timedelta(hours=1), requested=None).is_shortened


def test_a_link_is_printed_without_its_token() -> None:
    assert TOKEN not in repr(link(timedelta(hours=24)))
