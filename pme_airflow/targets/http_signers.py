"""Sign requests with tokens of a short life that are made of a connection's key."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import jwt
import requests
from requests.auth import AuthBase

from pme_airflow.errors import PMEInputError
from pme_airflow.secrets import SecretStr

__all__ = ["GhostSigner", "signer_of"]

#: How long a token of Ghost's Admin API may live, in seconds. Its own limit is 5 minutes.
_GHOST_SECONDS = 240
_GHOST_KEY = re.compile(r"([0-9a-f]{24}):([0-9a-f]{64})\Z")
#: By how many seconds the server's clock may differ from this one before tokens are dated by the server's.
_MAX_SKEW = 30


class GhostSigner(AuthBase):
    """Signs requests to Ghost's Admin API with a new token each.

    A refusal with a ``Date`` that differs from this machine's clock is tried once more, dated by the server's clock.

    :param key: the Admin API key of a custom integration, ``id:secret``.
    :raises PMEInputError: if it is none, without the key.
    """

    def __init__(self, key: SecretStr) -> None:
        found = _GHOST_KEY.match(key.reveal().strip())
        if found is None:
            raise PMEInputError(
                "signer: ghost needs an Admin API key, id:secret in hexadecimal, as the connection's password. Copy it "
                "from the custom integration in Ghost's settings."
            )
        self._id = found[1]
        self._secret = SecretStr(found[2])
        self._offset = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Ghost {self._token()}"
        request.register_hook("response", self._again)  # type: ignore[no-untyped-call]
        return request

    def _token(self) -> str:
        now = int(time.time() + self._offset)
        claims = {"iat": now, "exp": now + _GHOST_SECONDS, "aud": "/admin/"}
        secret = bytes.fromhex(self._secret.reveal())
        return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": self._id})

    def _again(self, response: requests.Response, **how: Any) -> requests.Response:
        """Send a request once more whose token was refused, if the server's clock differs."""
        offset = _clock_offset(response)
        if response.status_code != requests.codes.unauthorized or abs(offset - self._offset) < _MAX_SKEW:
            return response
        self._offset = offset
        response.close()
        again = response.request.copy()
        again.headers["Authorization"] = f"Ghost {self._token()}"
        sent: requests.Response = response.connection.send(again, **how)
        sent.history.append(response)
        sent.request = again
        return sent


def _clock_offset(response: requests.Response) -> float:
    """Return by how many seconds the server's clock is ahead of this machine's; 0 where it does not give the time."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp() - time.time()
    except (TypeError, ValueError):
        return 0.0


_SIGNERS: Mapping[str, Callable[[SecretStr], AuthBase]] = {"ghost": GhostSigner}


def signer_of(name: str, key: SecretStr) -> AuthBase:
    """Return the signer of a name, with a connection's password as its key.

    :raises PMEInputError: for an unknown name, or a key that the signer cannot use.
    """
    if name not in _SIGNERS:
        raise PMEInputError(f"signer: is unknown; the signers are {', '.join(sorted(_SIGNERS))}.")
    return _SIGNERS[name](key)
