"""Links for examinations, with tokens that no API has issued."""

from __future__ import annotations

from datetime import datetime, timezone

from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import ShownLink

__all__ = ["example_link"]


def example_link(model_id: str, number: int = 1, audience: str = "intranet") -> ShownLink:
    """Return a link of a model; another number gives another token."""
    token = f"kit{number}{model_id.lower():0>21.21}"
    url = f"https://my.matterport.com/show?m={model_id}&auth=Bearer+{token}"
    ends = datetime(2027, 1, 1, 2, tzinfo=timezone.utc)
    hidden = SecretStr(url), AccessToken(token)
    return ShownLink(f"lnk_kit_{number}", model_id, audience, *hidden, ends, "A <hall> & more")
