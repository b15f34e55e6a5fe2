"""The value objects the API speaks in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from pme_airflow.api.errors import PMEInputError
from pme_airflow.api.validity import Validity

__all__ = ["AccessToken", "EmbedLink", "Hidden", "MintRequest", "Model", "model_id_of", "model_ids_of"]

_MODEL_ID = re.compile(r"[A-Za-z0-9]{11}\Z", re.ASCII)
_MODEL_PATH = re.compile(r"/models/([^/]+)")


class Hidden:
    """A text that no ``repr``, ``str``, format or traceback shows; :meth:`reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text in clear. Keep what it returns out of names that live long."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(f"a {type(self).__name__} is not pickled: seal it first.")


class AccessToken(Hidden):
    """A model-scoped access token (opaque; every published example is 25 characters of ``[a-z0-9]``)."""

    __slots__ = ()


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
    url: Hidden
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


def model_id_of(value: object, name: str = "models") -> str:
    """The model id in an id or a share URL (``…/show/?m=<id>``, ``…/models/<id>``).

    :raises PMEInputError: where there is none; ids are 11 characters of ``[A-Za-z0-9]``.
    """
    if isinstance(value, str):
        text = value.strip()
        found = _id_in_url(text) if "://" in text else text
        if _MODEL_ID.match(found):
            return found
        shape = f"{len(text)} characters" if len(text) > 32 or "auth=" in text else repr(text)
    else:
        shape = f"a {type(value).__name__}"
    raise PMEInputError(
        f"{name}: {shape} is no model id. Give 11 characters of [A-Za-z0-9], as in yyHDFKzPzvN, or a share URL."
    )


def model_ids_of(values: Iterable[object], name: str = "models") -> list[str]:
    """The model ids in ids and share URLs, each once, in the order given.

    :raises PMEInputError: for a value without one, or for none at all.
    """
    found = list(dict.fromkeys(model_id_of(value, name) for value in values))
    if not found:
        raise PMEInputError(f'{name}: the list is empty. Name at least one model, or give {{"query": "*"}} for all.')
    return found


def _id_in_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    if match := _MODEL_PATH.match(parts.path):
        return match[1]
    return parse_qs(parts.query).get("m", [""])[0]
