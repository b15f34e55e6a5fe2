"""How often users may ask for links, and how many are minted for them a minute: counted in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from pme_airflow.errors import PMEInputError

__all__ = ["MintLimits", "TooManyRequests", "ViewerLimits"]


@dataclass(frozen=True)
class MintLimits:
    """How many links are minted a minute at the most, in each process that serves.

    :param user: for one user.
    :param model: for one model.
    :param total: in all.
    """

    user: int = 10
    model: int = 300
    total: int = 600

    def __post_init__(self) -> None:
        for field in fields(self):
            if type(getattr(self, field.name)) is not int or getattr(self, field.name) < 1:
                raise PMEInputError("give a whole number of at least 1.", f"mint_limits.{field.name}")


class TooManyRequests(Exception):
    """A limit was reached.

    :param seconds: when to ask again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class ViewerLimits:
    """Counts what users ask for, in this process."""

    def __init__(self, per_minute: int, mints: MintLimits) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._requests = parse(f"{per_minute}/minute")
        self._mints = {field.name: parse(f"{getattr(mints, field.name)}/minute") for field in fields(mints)}

    def request(self, user: str) -> None:
        """Count a request.

        :raises TooManyRequests: where it is one too many.
        """
        self._hit({("request", user): self._requests})

    def mint(self, user: str, model_id: str) -> None:
        """Count a mint.

        :raises TooManyRequests: where it is one too many; then it counts for nothing.
        """
        self._hit(
            {
                ("mint of user", user): self._mints["user"],
                ("mint of model", model_id): self._mints["model"],
                ("mint", ""): self._mints["total"],
            }
        )

    def _hit(self, keys: Mapping[tuple[str, str], RateLimitItem]) -> None:
        for key, limit in keys.items():
            if not self._limiter.test(limit, *key):
                raise TooManyRequests(
                    max(1, round(self._limiter.get_window_stats(limit, *key).reset_time - time.time()))
                )
        for key, limit in keys.items():
            self._limiter.hit(limit, *key)
