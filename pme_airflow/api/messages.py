"""The value objects of the PME API: mint requests, minted links and listed models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pme_airflow.durations import Validity
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["EmbedLink", "MintRequest", "Model"]


@dataclass(frozen=True)
class EmbedLink:
    """One minted link, as the API returned it.

    :param model_id: the model the link opens.
    :param access_token: the model-scoped token.
    :param application: the application the link is for (``showcase``).
    :param url: the whole address, which holds the token.
    :param valid_until: when it ends by the server's clock, aware and in UTC.
    """

    model_id: str
    access_token: AccessToken
    application: str
    url: SecretStr
    valid_until: datetime


@dataclass(frozen=True)
class MintRequest:
    """One link to mint.

    :param model_id: the model the link is to open.
    :param validity: how long the link is to live.
    """

    model_id: str
    validity: Validity


@dataclass(frozen=True)
class Model:
    """One model as the API lists it.

    :param model_id: its id, 11 characters of ``[A-Za-z0-9]``.
    :param name: its name; empty where the API gives none.
    :param state: its state, such as ``active`` or ``inactive``; empty where the API gives none.
    """

    model_id: str
    name: str = ""
    state: str = ""
