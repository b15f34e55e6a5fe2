"""One limiter for each host that targets send requests to, shared by all targets and threads of the process."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from pme_airflow.api.limiter import Limiter
from pme_airflow.clock import Clock, SystemClock

__all__ = ["host_limiter", "target_clock"]

_CLOCK: Clock = SystemClock()
#: The limiters in use, by the host's address; one that no target uses any more is forgotten.
_LIMITERS: WeakValueDictionary[str, Limiter] = WeakValueDictionary()
_LOCK = threading.Lock()


def target_clock() -> Clock:
    """Return the clock by which targets wait for hosts."""
    return _CLOCK


def host_limiter(base_url: str, at_once: int) -> Limiter:
    """Return the limiter of a host.

    :param base_url: an address at the host.
    :param at_once: how many requests the caller may have in flight there.
    """
    parts = urlsplit(base_url)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
    with _LOCK:
        limiter = _LIMITERS.get(host)
        if limiter is None:
            limiter = _LIMITERS[host] = Limiter(at_once, at_once, _CLOCK)
    limiter.allow(at_once)
    return limiter
