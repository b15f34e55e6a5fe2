"""Request sizes and limits of one client."""

from __future__ import annotations

from dataclasses import dataclass

from pme_airflow.api.limiter import Limiter, LocalRateLimit, RateLimit
from pme_airflow.clock import Clock

__all__ = ["DEFAULT_HOST", "ClientSettings", "limiter_of"]

DEFAULT_HOST = "https://api.matterport.com"


@dataclass(frozen=True)
class ClientSettings:
    """Request sizes and limits of one client.

    :param batch_size: aliased mutations in one request, to begin with.
    :param largest_batch: how many there may become while the API takes larger requests quickly; ``None`` for no more
        than ``batch_size``.
    :param max_concurrency: requests in flight at once, to begin with.
    :param grow_to: how many there may become while the API's latency does not rise; ``None`` for no more than
        ``max_concurrency``.
    :param requests_per_second: a limit that is never exceeded, or ``None`` for none.
    :param timeout: seconds to wait for a connection, and for each read of a response.
    :param deadline: seconds after which a request is no longer repeated while the API refuses it or cannot be reached.
    """

    batch_size: int = 10
    largest_batch: int | None = None
    max_concurrency: int = 8
    grow_to: int | None = None
    requests_per_second: float | None = None
    timeout: float = 30.0
    deadline: float = 120.0


def limiter_of(settings: ClientSettings, clock: Clock, rate_limit: RateLimit | None = None) -> Limiter:
    """Make the limiter that settings ask for.

    :param rate_limit: a limit shared with other processes, in place of one of this process alone.
    """
    if rate_limit is None and settings.requests_per_second is not None:
        rate_limit = LocalRateLimit(settings.requests_per_second, clock)
    return Limiter(settings.max_concurrency, settings.grow_to or 0, clock, rate_limit)
