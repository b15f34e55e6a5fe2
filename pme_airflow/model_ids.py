"""Reading model ids out of ids and share URLs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from pme_airflow.errors import PMEInputError

__all__ = ["MODEL_ID_LENGTH", "is_model_id", "model_id_of", "model_ids_of"]

#: Characters of a model's own id; a View's has 25.
MODEL_ID_LENGTH = 11

#: A model's own id, or that of one of its Views, which the vendor takes in its place.
_MODEL_ID = re.compile(r"(?:[A-Za-z0-9]{11}|[a-z0-9]{25})\Z", re.ASCII)
#: A longer text may be a token, and is not quoted.
_MAX_SHOWN = 16
_MODEL_PATH = re.compile(r"/models/([^/]+)")


def is_model_id(text: str) -> bool:
    """Return whether a text is a model id and nothing else.

    It is 11 characters of ``[A-Za-z0-9]``, or the 25 of ``[a-z0-9]`` that a View of a model has.
    """
    return bool(_MODEL_ID.match(text))


def model_id_of(value: object, name: str = "models") -> str:
    """Return the model id in an id or a share URL (``…/show/?m=<id>``, ``…/models/<id>``).

    :param value: the text to read.
    :param name: the setting's name, for error messages.
    :raises PMEInputError: where there is none; see :func:`is_model_id`.
    """
    if isinstance(value, str):
        text = value.strip()
        found = _id_in_url(text) if "://" in text else text
        if is_model_id(found):
            return found
        shape = repr(text) if len(text) <= _MAX_SHOWN and "auth=" not in text else f"{len(text)} characters"
    else:
        shape = f"a {type(value).__name__}"
    raise PMEInputError(
        f"{shape} is not a model id. Give 11 characters of [A-Za-z0-9], as in yyHDFKzPzvN, the 25 of a View, "
        "or a share URL.",
        name,
    )


def model_ids_of(values: Iterable[object], name: str = "models") -> list[str]:
    """Return the model ids in ids and share URLs, each once, in the order given.

    :param values: the texts to read.
    :param name: the setting's name, for error messages.
    :raises PMEInputError: for a value without one, or for none at all.
    """
    found = list(dict.fromkeys(model_id_of(value, name) for value in values))
    if not found:
        raise PMEInputError('the list is empty. Name at least one model, or give {"query": "*"} for all.', name)
    return found


def _id_in_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    if match := _MODEL_PATH.match(parts.path):
        return match[1]
    return parse_qs(parts.query).get("m", [""])[0]
