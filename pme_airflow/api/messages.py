"""The value objects the API speaks in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pme_airflow.durations import Validity
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["EmbedLink", "MintRequest", "Model"]


@dataclass(frozen=True)
class EmbedLink:
    """One minted link, as the API answered.

    :param model_id: the model the link opens.
    :param access_token: the model-scoped token.
    :param application: the application the link is for (``showcase``).
    :param url: the whole address, holding the token.
    :param valid_until: when it ends by the server's clock, aware and in UTC.
    """

    model_id: str
    access_token: AccessToken
    application: str
    url: SecretStr
    valid_until: datetime


@dataclass(frozen=True)
class MintRequest:
    """One link to ask for."""

    model_id: str
    validity: Validity


@dataclass(frozen=True)
class Model:
    """One model as the API lists it."""

    model_id: str
    name: str = ""
    state: str = ""
    visibility: str = field(default="")
