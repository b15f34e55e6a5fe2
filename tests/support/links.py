"""Links as a target gets them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pendulum

from pme_airflow.lifecycle.services import Services
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import ShownLink

MODEL = "Model000000"
#: Tokens as the vendor's: 25 lower-case letters and digits.
TOKEN_A, TOKEN_B, TOKEN_C = (f"{letter}0token{8:0>18}" for letter in "abc")


def shown_link(
    token: str = TOKEN_A,
    link_id: str = "link-1",
    model_id: str = MODEL,
    audience: str = "intranet",
    name: str = "Hall",
) -> ShownLink:
    """A link with a token of the test's own."""
    url = f"https://my.matterport.com/show?m={model_id}&auth=Bearer+{token}"
    ends = datetime(2026, 11, 27, 2, tzinfo=timezone.utc)
    return ShownLink(link_id, model_id, audience, SecretStr(url), AccessToken(token), ends, name)


def opened(services: Services, item: Mapping[str, Any]) -> ShownLink:
    """The link of an XCom item."""
    found = services.open_item(dict(item))
    ends = pendulum.parse(item["valid_until"])
    assert isinstance(ends, pendulum.DateTime)
    return ShownLink(item["link_id"], item["model_id"], item["audience"], found.url, found.token, ends, "Hall")
