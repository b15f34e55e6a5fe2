"""The emulator's state: models, tokens, clock and faults. Tests compare the ledger with it."""

from __future__ import annotations

import random
import re
import string
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

__all__ = ["FAULTS", "IssuedToken", "Settings", "World"]

#: Faults by name; each has a rate between 0 and 1.
FAULTS: Mapping[str, str] = {
    "lost_before": "the connection breaks before the request has any effect",
    "lost_after": "the request takes effect, then the connection breaks without a response",
    "made_but_null": "a link is minted, but its alias is null in the response, with a 5xx error",
    "partial_null": "an alias is refused: null, with a 429 error",
    "slow": "the response takes slow_seconds longer",
    "throttled": "429 with Retry-After in seconds",
    "throttled_date": "429 with Retry-After as an HTTP date",
    "bad_gateway": "502 with a page of HTML, before any effect",
    "bad_gateway_after": "502 with a page of HTML, after the request took effect",
    "expired_token": "400 invalid_grant, as for an expired application token",
    "lying_false": "the response to a revocation is false, and nothing is revoked",
    "cut_body": "the response's body ends after two thirds",
}

_UNIT = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?\Z", re.ASCII)
_MAX_SECONDS = 86400
_TOKEN_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Settings:
    """The settings of an emulator.

    :param client_id: the application's id.
    :param client_secret: its secret.
    :param models: the names of the models, by id.
    :param token_lifetime: how long an application token is valid, in seconds.
    :param latency: how long each request takes, in seconds.
    :param max_aliases: how many mutations one request may contain; 0 for any number.
    :param second_spelling: whether only the names of the mutations in the vendor's FAQ are known.
    :param drop_nulls: whether null fields are left out of responses.
    :param slow_seconds: how much longer a request takes when the fault ``slow`` happens.
    :param without_fields: fields that the API no longer has: ``link`` or ``name``, for instance.
    :param shared_tokens: whether the beta mutation for tokens of several models is there.
    :param max_models_per_token: for how many models a token is made at the most; 0 for any number.
    :param seed: the seed of every random choice.
    """

    client_id: str = "emulator-client"
    client_secret: str = "emulator-secret-of-some-length"  # noqa: S105
    models: Mapping[str, str] = field(default_factory=dict)
    token_lifetime: int = 3599
    latency: float = 0.0
    max_aliases: int = 0
    second_spelling: bool = False
    drop_nulls: bool = False
    slow_seconds: float = 2.0
    without_fields: tuple[str, ...] = ()
    shared_tokens: bool = False
    max_models_per_token: int = 0
    seed: int = 1


@dataclass
class IssuedToken:
    """A model-scoped token that the emulator issued."""

    token: str
    model_id: str
    issued_at: datetime
    valid_until: datetime
    revoked_at: datetime | None = None
    more_models: tuple[str, ...] = ()

    def opens(self, model_id: str, now: datetime) -> bool:
        """Return whether the token opens a model at a time."""
        return model_id in (self.model_id, *self.more_models) and self.alive(now)

    def alive(self, now: datetime) -> bool:
        """Return whether the token opens its model at a time."""
        return self.revoked_at is None and now < self.valid_until


class World:
    """The whole state of an emulator; threads may share it.

    :ivar down: whether every connection breaks.
    :ivar licensed: whether the account may use Private Model Embed; else both mutations are refused with 403.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.models: dict[str, dict[str, str]] = {
            model_id: {"name": name, "state": "active", "visibility": "private"}
            for model_id, name in self.settings.models.items()
        }
        self.tokens: dict[str, IssuedToken] = {}
        self.faults: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.down = False
        self.without_fields = frozenset(self.settings.without_fields)
        self.shared_tokens = self.settings.shared_tokens
        self.max_models_per_token = self.settings.max_models_per_token
        self.licensed = True
        #: What is answered when somebody asks whether a model's token works: ``honest``, ``alive`` or ``dead``.
        self.probes = "honest"
        self.applications: dict[str, datetime] = {}
        self._offset = timedelta(0)
        self._frozen: datetime | None = None
        self._random = random.Random(self.settings.seed)  # noqa: S311
        self._lock = threading.RLock()

    def now(self) -> datetime:
        """Return the emulator's time."""
        if self._frozen is not None:
            return self._frozen + self._offset
        return datetime.now(timezone.utc) + self._offset

    def move_clock(self, seconds: float) -> None:
        """Move the clock forward, or back where the number is negative."""
        self._offset += timedelta(seconds=seconds)

    def freeze_clock(self, at: datetime) -> None:
        """Stop the clock; only :meth:`move_clock` moves it from then on."""
        self._frozen, self._offset = at, timedelta(0)

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """Replace the rates of all faults.

        :raises ValueError: for an unknown fault or a rate outside of 0 to 1.
        """
        for name, rate in faults.items():
            if name not in FAULTS:
                raise ValueError(f"there is no fault {name!r}; the faults are {', '.join(sorted(FAULTS))}")
            if not 0 <= float(rate) <= 1:
                raise ValueError(f"{name}={rate}: a rate is a number from 0 to 1")
        self.faults = {name: float(rate) for name, rate in faults.items()}

    def injects(self, fault: str) -> bool:
        """Decide whether a fault happens now, and count it if it does."""
        rate = self.faults.get(fault, 0.0)
        if rate <= 0:
            return False
        with self._lock:
            happens = self._random.random() < rate
        if happens:
            self.count(f"fault:{fault}")
        return happens

    def count(self, what: str) -> None:
        """Add one to a counter of :attr:`counts`."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def issue_application_token(self) -> tuple[str, int]:
        """Issue an application token; return it with its lifetime in seconds."""
        with self._lock:
            token = f"app{self._random_text(40)}"
            self.applications[token] = self.now() + timedelta(seconds=self.settings.token_lifetime)
        return token, self.settings.token_lifetime

    def application_token_state(self, token: str) -> str:
        """Return ``valid``, ``expired`` or ``unknown``."""
        until = self.applications.get(token)
        if until is None:
            return "unknown"
        return "valid" if self.now() < until else "expired"

    def opens(self, token: str, model_id: str) -> bool:
        """Return whether a token is answered as one that opens a model."""
        issued = self.tokens.get(token)
        if self.probes != "honest":
            return self.probes == "alive"
        return issued is not None and issued.opens(model_id, self.now())

    def issue(self, model_id: str, seconds: int, more_models: Iterable[str] = ()) -> IssuedToken:
        """Issue a token of a model, or of several, that is valid for some seconds."""
        with self._lock:
            now = self.now()
            issued = IssuedToken(self._random_text(25), model_id, now, now + timedelta(seconds=seconds))
            issued.more_models = tuple(more_models)
            self.tokens[issued.token] = issued
        self.count("minted")
        return issued

    def revoke(self, token: str) -> bool:
        """Revoke a token; return false if it is unknown, already revoked or expired."""
        with self._lock:
            issued = self.tokens.get(token)
            if issued is None or not issued.alive(self.now()):
                return False
            issued.revoked_at = self.now()
        self.count("revoked")
        return True

    def alive(self) -> list[IssuedToken]:
        """Return all tokens that open their model now."""
        now = self.now()
        with self._lock:
            return [issued for issued in self.tokens.values() if issued.alive(now)]

    def truth(self) -> dict[str, Any]:
        """Return the whole state as JSON, tokens in clear: it is for tests."""
        now = self.now()
        with self._lock:
            tokens = [
                {
                    "token": issued.token,
                    "model_id": issued.model_id,
                    "more_models": list(issued.more_models),
                    "issued_at": issued.issued_at.isoformat(),
                    "valid_until": issued.valid_until.isoformat(),
                    "revoked_at": issued.revoked_at.isoformat() if issued.revoked_at else None,
                    "alive": issued.alive(now),
                }
                for issued in self.tokens.values()
            ]
            return {
                "now": now.isoformat(),
                "tokens": tokens,
                "counts": dict(self.counts),
                "models": self.models,
                "faults": self.faults,
                "settings": {**asdict(self.settings), "models": len(self.models), "client_secret": "…"},
            }

    def _random_text(self, length: int) -> str:
        return "".join(self._random.choices(_TOKEN_ALPHABET, k=length))


def parse_validity(text: str) -> int | None:
    """Return the seconds of a ``Duration``, or ``None`` if the text is not one."""
    if re.fullmatch(r"[0-9]{1,9}[dhms]", text, re.ASCII):
        return int(text[:-1]) * _UNIT[text[-1]]
    match = _ISO.match(text)
    if not match or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def too_long(seconds: int) -> bool:
    """Return whether a validity exceeds the vendor's maximum of 24 hours."""
    return seconds > _MAX_SECONDS
