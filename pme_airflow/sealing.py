"""Encrypting links at rest, and the fingerprints that name tokens without holding them.

A link is encrypted with AES-256-GCM under a key derived by HKDF-SHA256 (RFC 5869), one purpose a key, from the client
secret or a seal key. Where both seal, a random key encrypts the link and each of the two encrypts that key, so that
either opens it. The link id and model id are authenticated with it, so that one item's sealed text cannot be put in
another's place. A token that opens several models is sealed with their ids (``v2``), and opens for these alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pme_airflow.embed_links import link_of, show_address
from pme_airflow.errors import PMEInputError, PMESealError
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = [
    "OPEN_ONLY",
    "PREFIX",
    "OpenedLink",
    "SealRequest",
    "Sealer",
    "fingerprint",
    "is_fingerprint",
    "key_ids_of",
    "key_text",
]

PREFIX = "pme-sealed:"
#: What precedes an entry of ``seal_keys`` that opens links and never seals one, such as an earlier client secret.
OPEN_ONLY = "open:"
_KEY_IDS = re.compile(r"[A-Za-z0-9]{1,16}(?:\+[A-Za-z0-9]{1,16}){0,15}")
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}\Z", re.ASCII)
#: The versions of sealed texts: of a link of one model, and of a token that opens several.
_ONE, _SEVERAL = "v1", "v2"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_LINK_KEY_BYTES = 32
_WRAPPED_BYTES = _NONCE_BYTES + _LINK_KEY_BYTES + _TAG_BYTES
_MIN_KEY = 16


def fingerprint(token: AccessToken) -> str:
    """Return ``sha256:`` and the hex SHA-256 of the token."""
    return "sha256:" + hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).hexdigest()


def is_fingerprint(text: str) -> bool:
    """Return whether a text is a fingerprint and nothing else."""
    return bool(_FINGERPRINT.match(text))


class OpenedLink:
    """The contents of a sealed text: the link's address and its token.

    :param url: the whole address.
    :param token: the model-scoped token in it.
    :param models: the models of a token that opens several.
    """

    __slots__ = ("models", "token", "url")

    def __init__(self, url: SecretStr, token: AccessToken, models: Sequence[str] = ()) -> None:
        self.url = url
        self.token = token
        self.models = tuple(models)

    @property
    def urls(self) -> list[SecretStr]:
        """The addresses of all models that the token opens."""
        return [link_of(model_id, self.token, show_address(self.url)) for model_id in self.models] or [self.url]


def key_text(entry: SecretStr) -> SecretStr:
    """Return an entry of ``seal_keys`` without the ``open:`` before it."""
    return SecretStr(entry.reveal().removeprefix(OPEN_ONLY))


class _Key:
    """A key derived from a secret; white space around the secret does not matter, since forms and files add it."""

    def __init__(self, secret: SecretStr) -> None:
        material = secret.reveal().strip().encode("utf-8", "surrogatepass")
        self._cipher = AESGCM(_derive(material, b"pme-airflow seal links v1", 32))
        self.key_id = _derive(material, b"pme-airflow name key v1", 4).hex()
        self._naming = _derive(material, b"pme-airflow name viewers v1", 32)

    def viewer_fingerprint(self, name: str) -> str:
        digest = hmac.new(self._naming, name.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"viewer:{digest.hexdigest()}"

    def encrypt(self, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def decrypt(self, sealed: bytes, bound: bytes) -> bytes:
        return _decrypt(self._cipher, sealed, bound)


def _derive(material: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(material)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)


@dataclass(frozen=True)
class SealRequest:
    """A link to seal, and the link id and model id that its sealed text is bound to.

    Where its token opens several models, the text is bound to the link id, and holds the models.
    """

    opened: OpenedLink
    link_id: str
    model_id: str

    @property
    def version(self) -> str:
        """The version of the sealed text."""
        return _SEVERAL if self.opened.models else _ONE


class Sealer:
    """Seals links so that any of the current keys opens them. Make one with :meth:`of_connection`."""

    def __init__(self, sealing: Sequence[_Key], opening: Sequence[_Key]) -> None:
        self._sealing = {key.key_id: key for key in sealing}
        self._opening = {key.key_id: key for key in opening}

    @classmethod
    def of_connection(cls, client_secret: SecretStr, seal_keys: Sequence[SecretStr] = ()) -> Sealer:
        """Make the sealer of a connection.

        Links are sealed for the current client secret *and*, where there is one, the first seal key that is not
        ``open:``. Either alone opens them, so no step of a rotation locks a link:

        - the secret is reset: a link sealed for a seal key too stays open, and any other is opened by the earlier
          secret in ``seal_keys``, as ``open:<secret>`` or plain; ``ledger reseal`` moves it to the new secret;
        - a new seal key is put first: the earlier one opens what it sealed until ``ledger reseal`` has moved it.

        After ``ledger reseal`` every entry but the first seal key may be taken out. An earlier secret that leaked is
        to be given as ``open:<secret>``: a plain one, put first, would keep sealing in addition to the current secret.

        :param client_secret: the connection's client secret.
        :param seal_keys: the connection's seal keys, newest first; an entry ``open:<key>`` opens and never seals.
        :raises PMEInputError: for a seal key shorter than 16 characters, or an empty ``open:``.
        """
        own = [entry for entry in seal_keys if not entry.reveal().startswith(OPEN_ONLY)]
        for index, entry in enumerate(seal_keys):
            length = len(key_text(entry).reveal())
            if length < (_MIN_KEY if entry in own else 1):
                raise PMEInputError(
                    f"seal_keys[{index}]: is shorter than {_MIN_KEY} characters. Use a random key, or write open:KEY "
                    "for an earlier client secret that only opens."
                )
        sealing = [_Key(secret) for secret in (*own[:1], client_secret)]
        return cls(sealing, [*sealing, *(_Key(key_text(entry)) for entry in seal_keys)])

    def viewer_fingerprints(self, name: str) -> list[str]:
        """Return the fingerprints of a viewer's name, that of the current key first.

        They are keyed, since names are few enough to be guessed: only who holds the connection can find a viewer's
        links, or the viewer of a link.
        """
        return [key.viewer_fingerprint(name) for key in (*self._sealing.values(), *self._opening.values())]

    def knows(self, sealed: str) -> bool:
        """Return whether one of the keys that a sealed text names is among the keys."""
        return any(key_id in self._opening for key_id in key_ids_of(sealed))

    def is_current(self, sealed: str) -> bool:
        """Return whether a sealed text is sealed for the current keys and no other, so that it needs no resealing."""
        return set(key_ids_of(sealed)) == set(self._sealing)

    def seal(self, opened: OpenedLink, link_id: str, model_id: str) -> str:
        """Seal an address and its token for one link of one model.

        :return: ``pme-sealed:v1:<key id>:<base64>``, or ``pme-sealed:v1:<key id>+<key id>:<base64>`` for two keys. A
            key id is 8 hex digits derived from the key. A token of several models has ``v2`` in place of ``v1``.
        """
        return self.seal_all([SealRequest(opened, link_id, model_id)])[0]

    def seal_all(self, requests: Sequence[SealRequest]) -> list[str]:
        """Seal links as :meth:`seal` does; the system's random numbers are read once for all of them.

        None are kept for later: a forked process would encrypt with the same ones.
        """
        wrapping = 0 if len(self._sealing) == 1 else _LINK_KEY_BYTES + _NONCE_BYTES * len(self._sealing)
        random = io.BytesIO(os.urandom((_NONCE_BYTES + wrapping) * len(requests)))
        return [self._seal(request, random) for request in requests]

    def _seal(self, request: SealRequest, random: io.BytesIO) -> str:
        opened = request.opened
        plain = _content(opened)
        bound = _bound(request.version, request.link_id, request.model_id)
        keys = list(self._sealing.values())
        key_ids = "+".join(self._sealing)
        if len(keys) == 1:
            sealed = keys[0].encrypt(random.read(_NONCE_BYTES), plain, bound)
        else:
            link_key = random.read(_LINK_KEY_BYTES)
            wrapped = b"".join(key.encrypt(random.read(_NONCE_BYTES), link_key, bound) for key in keys)
            nonce = random.read(_NONCE_BYTES)
            whole = AESGCM(link_key).encrypt(nonce, plain, bound + key_ids.encode() + wrapped)
            sealed = wrapped + nonce + whole
        return f"{PREFIX}{request.version}:{key_ids}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, link_id: str, model_id: str) -> OpenedLink:
        """Open a text that :meth:`seal` returned for the same link and model.

        :param model_id: the model whose address is wanted; one of those that the token opens.
        :raises PMESealError: where no key fits, or the text was changed or belongs to another link or model.
        """
        key_ids = key_ids_of(sealed)
        if not key_ids:
            raise PMESealError(f"Link {link_id}: is not a sealed text of this package (pme-sealed:v1:…). Mint anew.")
        index = next((index for index, key_id in enumerate(key_ids) if key_id in self._opening), None)
        if index is None:
            raise PMESealError(
                f"Link {link_id} was sealed with key {' and '.join(key_ids)}, and the connection holds "
                f"{', '.join(self._opening)}. Add the earlier seal key to the end of the connection's seal_keys, or "
                "the earlier client secret as open:SECRET; or mint anew."
            )
        plain: bytes | None = None
        try:
            _, version, _, text = sealed.split(":")
            plain = self._decrypt(_decode(text), key_ids, index, _bound(version, link_id, model_id))
        except (InvalidTag, ValueError):
            plain = None
        opened = None if plain is None else _opened(plain, model_id)
        if opened is None:
            raise PMESealError(
                f"Link {link_id} of model {model_id}: the sealed text was changed, or belongs to another link. Take "
                "the item as the mint returned it, or mint anew."
            )
        return opened

    def _decrypt(self, sealed: bytes, key_ids: Sequence[str], index: int, bound: bytes) -> bytes:
        key = self._opening[key_ids[index]]
        if len(key_ids) == 1:
            return key.decrypt(sealed, bound)
        wrapped, rest = sealed[: len(key_ids) * _WRAPPED_BYTES], sealed[len(key_ids) * _WRAPPED_BYTES :]
        link_key = key.decrypt(wrapped[index * _WRAPPED_BYTES : (index + 1) * _WRAPPED_BYTES], bound)
        return _decrypt(AESGCM(link_key), rest, bound + "+".join(key_ids).encode() + wrapped)


def key_ids_of(sealed: str) -> list[str]:
    """Return the ids of the keys that open a sealed text; none where it is no sealed text of this package."""
    parts = sealed.split(":")
    is_ours = (
        len(parts) == 4
        and f"{parts[0]}:" == PREFIX
        and parts[1] in (_ONE, _SEVERAL)
        and bool(_KEY_IDS.fullmatch(parts[2]))
    )
    return parts[2].split("+") if is_ours else []


def _decode(text: str) -> bytes:
    """Decode base64 in its one canonical form, so that no two texts are the same sealed link."""
    raw = base64.urlsafe_b64decode(text)
    if base64.urlsafe_b64encode(raw).decode() != text:
        raise ValueError("not canonical base64")
    return raw


def _content(opened: OpenedLink) -> bytes:
    """Return what is sealed, as ``json.dumps`` writes it; of one model, in a third of its time."""
    if not opened.models:
        return f'{{"url": {_json(opened.url.reveal())}, "token": {_json(opened.token.reveal())}}}'.encode()
    content = {"url": show_address(opened.url), "token": opened.token.reveal(), "models": list(opened.models)}
    return json.dumps(content).encode()


def _opened(plain: bytes, model_id: str) -> OpenedLink | None:
    """Read the contents of a sealed text; ``None`` where its token does not open the model."""
    held = json.loads(plain.decode())
    url, token, models = held["url"], AccessToken(held["token"]), held.get("models", ())
    if not models:
        return OpenedLink(SecretStr(url), token)
    return OpenedLink(link_of(model_id, token, url), token, models) if model_id in models else None


def _bound(version: str, link_id: str, model_id: str) -> bytes:
    return f"[{_json(link_id)}, {_json(model_id if version == _ONE else _SEVERAL)}]".encode()
