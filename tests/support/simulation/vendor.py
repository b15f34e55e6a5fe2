"""The vendor's side, and the connection and client that speak to it, in virtual time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

from pme_airflow.api.batch_size import BatchSize
from pme_airflow.api.client import ClientSettings, limiter_of
from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, NotRevoked, Revoked, RevokeVerdict, Unknown
from pme_airflow.clock import Clock, ServerClock
from pme_airflow.dev.emulator.world import IssuedToken, World
from pme_airflow.errors import PMECredentialsError, PMEUnavailableError, PMEUnreachableError
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["Connection", "Vendor", "VirtualClient"]

LOST_RATE, DENIED_RATE = 0.01, 0.01


@dataclass(frozen=True)
class Connection:
    """A PME connection of the simulated installation."""

    conn_id: str
    client_id: str
    secret: str = field(repr=False)
    seal_keys: tuple[str, ...] = field(default=(), repr=False)

    @property
    def sealer(self) -> Sealer:
        """The sealer of its keys."""
        return _sealer(self.secret, self.seal_keys)


@lru_cache(maxsize=8)
def _sealer(secret: str, seal_keys: Sequence[str]) -> Sealer:
    return Sealer.of_connection(SecretStr(secret), [SecretStr(key) for key in seal_keys])


class Vendor:
    """The emulator's tokens, the secret of each client, and which client minted what."""

    def __init__(self, world: World, start: datetime) -> None:
        self.world = world
        self.secrets: dict[str, str] = {}
        self.minted_by: dict[str, str] = {}
        self._start = start

    def accepts(self, connection: Connection) -> bool:
        """Return whether a connection has its client's secret."""
        return self.secrets.get(connection.client_id) == connection.secret

    def issue(self, client_id: str, model_ids: Sequence[str], seconds: int) -> IssuedToken:
        """Issue a token of a client for one model or several."""
        issued = self.world.issue(model_ids[0], seconds, model_ids[1:])
        self.minted_by[issued.token] = client_id
        return issued

    def revoke(self, client_id: str, token: str) -> bool:
        """Revoke a token, if it is the client's and alive."""
        return self.minted_by.get(token) == client_id and self.world.revoke(token)

    def death(self, token: str) -> float:
        """Return the second of the simulation from which a token opens nothing."""
        issued = self.world.tokens[token]
        ends = min(issued.valid_until, issued.revoked_at or issued.valid_until)
        return (ends - self._start).total_seconds()

    def forget_dead(self, before: float, kept: Iterable[str]) -> None:
        """Forget tokens that died before a time: a year has half a million."""
        needed = set(kept)
        for token in [token for token in self.world.tokens if token not in needed and self.death(token) < before]:
            del self.world.tokens[token], self.minted_by[token]


class Surroundings(Protocol):
    """What the client needs to know of the simulation."""

    vendor: Vendor

    @property
    def api_answers(self) -> bool:
        """Whether an API that is away answers 503; otherwise nobody can connect to it."""

    def down(self, what: str) -> bool:
        """Return whether something is away now."""

    def happens(self, rate: float) -> bool:
        """Return whether something of this rate happens now."""


class VirtualClient:
    """The API's client over the emulator's state, in virtual time; it speaks in verdicts as the real one does."""

    def __init__(self, sim: Surroundings, connection: Connection, clock: Clock) -> None:
        self.client_id = connection.client_id
        self.settings = ClientSettings(batch_size=25, max_concurrency=1)
        self.batch_size = BatchSize(self.settings.batch_size)
        self.limiter = limiter_of(self.settings, clock)
        self.server_clock = ServerClock(clock)
        self.models_per_token = None
        self._sim = sim
        self._connection = connection

    def _away(self) -> PMEUnavailableError | None:
        """Return why the API cannot be reached; ``None`` if it can.

        :raises PMECredentialsError: if the secret is not the client's.
        """
        if self._sim.down("api"):
            if self._sim.api_answers:
                return PMEUnavailableError("The PME API answered HTTP 503.")
            return PMEUnreachableError("The PME API was not reached: could not connect.")
        self.server_clock.observe(self._sim.vendor.world.now().strftime("%a, %d %b %Y %H:%M:%S GMT"))
        if not self._sim.vendor.accepts(self._connection):
            raise PMECredentialsError("The PME API refused the client id or secret.")
        return None

    def check_credentials(self) -> None:
        away = self._away()
        if away:
            raise away

    def sync_clock(self) -> None:
        self.check_credentials()

    def with_deadline(self, seconds: float) -> VirtualClient:
        raise AssertionError(f"no sweep of the simulation has a deadline, and one of {seconds} s was asked for")

    def mint(self, requests: Sequence[MintRequest]) -> list[MintVerdict]:
        away = self._away()
        return [NotMade(away, resend=True) if away else self._minted(request) for request in requests]

    def _minted(self, request: MintRequest) -> MintVerdict:
        opened = [request.model_id, *request.models[1:]]
        issued = self._sim.vendor.issue(self.client_id, opened, request.validity.seconds)
        if self._sim.happens(LOST_RATE):
            return Unknown("the connection broke")
        url = SecretStr(f"https://my.matterport.com/show?m={request.model_id}&auth=Bearer+{issued.token}")
        return Made(EmbedLink(request.model_id, AccessToken(issued.token), "showcase", url, issued.valid_until))

    def revoke(self, tokens: Sequence[AccessToken]) -> list[RevokeVerdict]:
        away = self._away()
        return [NotRevoked(str(away), sent=False) if away else self._revoked(token) for token in tokens]

    def _revoked(self, token: AccessToken) -> RevokeVerdict:
        if self._sim.happens(DENIED_RATE):
            return NotRevoked("HTTP 502 without an answer")
        if self._sim.vendor.revoke(self.client_id, token.reveal()):
            return Revoked()
        return NotRevoked("the API answered false", denied=True)


class Machine:
    """The clock of the machine the work runs on: the truth's, off by so much."""

    def __init__(self, truth: Clock) -> None:
        self._truth = truth
        self.lead = timedelta(0)

    def now(self) -> datetime:
        return self._truth.now() + self.lead

    def monotonic(self) -> float:
        return self._truth.monotonic()

    def sleep(self, seconds: float) -> None:
        self._truth.sleep(seconds)
