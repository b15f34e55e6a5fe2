"""Check the fields of API responses when they are received, so that no other module handles an unsafe value.

A field that fails its check never makes a token unknown: the token is live either way, so the field is replaced.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta, timezone
from functools import lru_cache

import pendulum

from pme_airflow.addresses import HttpUrl, parse_http_url, parse_without_query
from pme_airflow.api.messages import Model
from pme_airflow.durations import MAX_VALIDITY
from pme_airflow.embed_links import SHOWCASE
from pme_airflow.model_ids import is_model_id
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["CLOCK_SLACK", "checked_application", "checked_link", "checked_model", "checked_text", "checked_token",
           "checked_valid_until", "is_encodable", "showcase_of"]  # fmt: skip

#: How far ``validUntil`` may lie beyond the API's maximum of 24 h: rounding, and the duration of the request.
CLOCK_SLACK = timedelta(minutes=5)
#: The name of an enum's value, as the vendor documents it; without digits, so that it cannot be a token.
_APPLICATION = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}\Z", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}[Tt ][0-9]{2}[0-9:.,+Zz -]{0,30}\Z", re.ASCII)
_MAX_TOKEN = 2048
_VENDOR = "matterport.com"
#: Invisible characters that emoji and several scripts need, so they stay in names.
_JOINERS = "\u200c\u200d"


def checked_token(value: object) -> AccessToken | None:
    """Return an access token, or ``None`` where the value is no printable text of 1 to 2,048 characters."""
    if isinstance(value, str) and 0 < len(value) <= _MAX_TOKEN and value.isprintable() and " " not in value:
        return AccessToken(value)
    return None


def checked_application(value: object) -> str:
    """Return the application a link is for: the value where it is the name of an enum's value, or else ``showcase``."""
    return value if isinstance(value, str) and _APPLICATION.match(value) else "showcase"


def checked_text(value: object, max_length: int = 255) -> str:
    """Return a name on one line: control and invisible characters become spaces, and long ones are cut.

    :return: the text; empty where the value is no text.
    """
    if not isinstance(value, str):
        return ""
    visible = (
        sign if sign in _JOINERS or unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else " "
        for sign in value[: 4 * max_length]
    )
    return " ".join("".join(visible).split())[:max_length].strip()


def checked_link(value: object, api_base_url: str) -> SecretStr | None:
    """Return the API's link, or ``None`` where it is not to be shown to anybody.

    It must be https to ``matterport.com``, a host below it, or the host of the API. Where the API itself is on this
    machine, as the emulator is, any loopback address will do.

    :param value: the ``link`` of the response.
    :param api_base_url: the base address of the API that returned it.
    """
    if not isinstance(value, str):
        return None
    url = parse_without_query(value)
    return SecretStr(value) if url is not None and _is_trusted(url, api_base_url) else None


@lru_cache(maxsize=64)
def _is_trusted(url: HttpUrl, api_base_url: str) -> bool:
    """Return whether links may lead to an address; cached, since those of one API differ in their query alone."""
    api = parse_http_url(api_base_url)
    if api is None:
        return False
    trusted = url.host == _VENDOR or url.host.endswith(f".{_VENDOR}") or url.host == api.host
    return (url.scheme == "https" and trusted) or (url.is_loopback and api.is_loopback)


def is_encodable(text: str) -> bool:
    """Return whether a text has no half of a character (a lone surrogate), so that it can be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def showcase_of(api_base_url: str) -> str:
    """Return where the Showcase of an API is: the vendor's, or the API's own host where that is this machine."""
    api = parse_http_url(api_base_url)
    return f"{api_base_url.rstrip('/')}/show" if api is not None and api.is_loopback else SHOWCASE


def checked_valid_until(value: object, now: datetime) -> datetime | None:
    """Read ``validUntil``: ``Z``, an offset or fractions of a second; a time without a zone is UTC.

    :param value: the ``validUntil`` of the response.
    :param now: the server's time.
    :return: ``None`` where it is unreadable, or further away than the 24 hours that the API grants at the most.
    """
    if not isinstance(value, str) or not _TIMESTAMP.match(value):
        return None
    timestamp = _parse_timestamp(value)
    return timestamp if timestamp is not None and timestamp <= now + MAX_VALIDITY + CLOCK_SLACK else None


@lru_cache(maxsize=128)
def _parse_timestamp(value: str) -> datetime | None:
    """Parse an ISO 8601 timestamp; cached, since the links of one request share it and parsing it is slow."""
    try:
        timestamp = pendulum.parse(value, tz="UTC")
        if not isinstance(timestamp, pendulum.DateTime):
            return None
        return datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=timestamp.float_timestamp)
    except (ValueError, OverflowError, TypeError):  # pendulum raises the last for 00000000T00
        return None


def checked_model(raw: object) -> Model | None:
    """Return one listed model, or ``None`` where it has no model id."""
    model_id = raw.get("id") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(model_id, str) or not is_model_id(model_id):
        return None
    return Model(model_id, checked_text(raw.get("name")), checked_text(raw.get("state"), 64))
