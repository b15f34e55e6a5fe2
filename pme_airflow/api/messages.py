"""The value objects of the PME API: mint requests, minted links and listed models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

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
    :param issued_at: the server's time when it was issued, or ``None`` where that is not known.
    :param requested: the validity that was requested, or ``None`` where that is not known.
    """

    model_id: str
    access_token: AccessToken
    application: str
    url: SecretStr
    valid_until: datetime
    issued_at: datetime | None = None
    requested: Validity | None = None

    @property
    def granted(self) -> timedelta | None:
        """How long the API lets the link live from when it was issued; ``None`` where that is not known."""
        return None if self.issued_at is None else self.valid_until - self.issued_at


@dataclass(frozen=True)
class MintRequest:
    """One link, or one token for several models, to mint.

    :param model_id: the model the link is to open; the first one of several.
    :param validity: how long the link is to live.
    :param models: the models that a token for several is to open.
    """

    model_id: str
    validity: Validity
    models: tuple[str, ...] = ()

    @property
    def named_models(self) -> str:
        """The models, for a message."""
        return f"Models {', '.join(self.models)}" if self.models else f"Model {self.model_id}"


@dataclass(frozen=True)
class Model:
    """One model as the API lists it.

    :param model_id: its id.
    :param name: its name; empty where the API gives none.
    :param state: its state, such as ``active`` or ``inactive``; empty where the API gives none.
    """

    model_id: str
    name: str = ""
    state: str = ""
