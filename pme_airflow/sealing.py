"""Encrypting links at rest, and the fingerprints that name tokens without holding them.

A link is encrypted with AES-256-GCM under a key derived by HKDF-SHA256 (RFC 5869), one purpose a key, from the client
secret or from ``seal_keys``. The link id and model id are authenticated with it, so that one item's sealed text cannot
be put in another's place.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pme_airflow.errors import PMEInputError, PMESealError
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["PREFIX", "OpenedLink", "Sealer", "fingerprint", "is_fingerprint"]

PREFIX = "pme-sealed:"
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}\Z", re.ASCII)
_NONCE_BYTES = 12
_MIN_KEY = 16


def fingerprint(token: AccessToken) -> str:
    """Return ``sha256:`` and the hex SHA-256 of the token."""
    return "sha256:" + hashlib.sha256(token.reveal().encode()).hexdigest()


def is_fingerprint(text: str) -> bool:
    """Return whether a text is a fingerprint and nothing else."""
    return bool(_FINGERPRINT.match(text))


class OpenedLink:
    """The contents of a sealed text: the link's address and its token.

    :param url: the whole address.
    :param token: the model-scoped token in it.
    """

    __slots__ = ("token", "url")

    def __init__(self, url: SecretStr, token: AccessToken) -> None:
        self.url = url
        self.token = token


class _Key:
    def __init__(self, secret: SecretStr) -> None:
        material = secret.reveal().encode()
        self._aead = AESGCM(_derive(material, b"pme-airflow seal links v1", 32))
        self.key_id = _derive(material, b"pme-airflow name key v1", 4).hex()

    def seal(self, plain: SecretStr, bound: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._aead.encrypt(nonce, plain.reveal().encode(), bound)
        return f"{PREFIX}v1:{self.key_id}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, raw: bytes, bound: bytes) -> SecretStr:
        return SecretStr(self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound).decode())


def _derive(material: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(material)


class Sealer:
    """Seals links with one key and opens them with any of several. Make one with :meth:`of_connection`."""

    def __init__(self, sealing: _Key, opening: Sequence[_Key]) -> None:
        self._sealing = sealing
        self._opening = {key.key_id: key for key in opening}

    @classmethod
    def of_connection(cls, client_secret: SecretStr, seal_keys: Sequence[SecretStr] = ()) -> Sealer:
        """Make the sealer of a connection: the first seal key seals, or the client secret where there is none.

        The client secret always opens, so that links sealed before keys were set stay readable.

        :param client_secret: the connection's client secret.
        :param seal_keys: the connection's seal keys, newest first.
        :raises PMEInputError: for a seal key shorter than 16 characters.
        """
        for index, key in enumerate(seal_keys):
            if len(key.reveal()) < _MIN_KEY:
                raise PMEInputError(f"seal_keys[{index}]: is shorter than {_MIN_KEY} characters. Use a random one.")
        keys = [_Key(secret) for secret in (*seal_keys, client_secret)]
        return cls(keys[0], keys)

    @property
    def key_id(self) -> str:
        """The id of the key that seals: 8 hex digits derived from it."""
        return self._sealing.key_id

    def knows(self, sealed: str) -> bool:
        """Return whether the key that a sealed text names is among the keys."""
        parts = sealed.split(":")
        return len(parts) == 4 and parts[2] in self._opening

    def seal(self, opened: OpenedLink, link_id: str, model_id: str) -> str:
        """Seal an address and its token for one link of one model.

        :return: ``pme-sealed:v1:<key id>:<base64>``.
        """
        plain = SecretStr(json.dumps({"url": opened.url.reveal(), "token": opened.token.reveal()}))
        return self._sealing.seal(plain, _bound(link_id, model_id))

    def open(self, sealed: str, link_id: str, model_id: str) -> OpenedLink:
        """Open a text that :meth:`seal` returned for the same link and model.

        :raises PMESealError: where no key fits, or the text was changed or belongs to another link.
        """
        parts = sealed.split(":")
        if len(parts) != 4 or f"{parts[0]}:" != PREFIX or parts[1] != "v1":
            raise PMESealError(f"Link {link_id}: is not a sealed text of this package (pme-sealed:v1:…). Mint anew.")
        key = self._opening.get(parts[2])
        if key is None:
            held = ", ".join(self._opening)
            raise PMESealError(
                f"Link {link_id} was sealed with key {parts[2]}, and the connection holds {held}. Add the key, or the "
                "earlier client secret, to the end of the connection's seal_keys; or mint anew."
            )
        plain: SecretStr | None = None
        try:
            plain = key.open(base64.urlsafe_b64decode(parts[3].encode()), _bound(link_id, model_id))
        except (InvalidTag, ValueError):
            plain = None
        if plain is None:
            raise PMESealError(
                f"Link {link_id} of model {model_id}: the sealed text was changed, or belongs to another link. Take "
                "the item as the mint returned it, or mint anew."
            )
        return _opened(plain)


def _opened(plain: SecretStr) -> OpenedLink:
    held = json.loads(plain.reveal())
    return OpenedLink(SecretStr(held["url"]), AccessToken(held["token"]))


def _bound(link_id: str, model_id: str) -> bytes:
    return json.dumps([link_id, model_id]).encode()
