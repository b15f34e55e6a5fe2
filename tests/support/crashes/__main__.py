"""Run the whole campaign, and log what came of it: ``python -m tests.support.crashes [DATABASE …] [--points N]``."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.crashes.campaign import Campaign, earlier_revisions
from tests.support.crashes.seam import Strike
from tests.support.databases import KINDS, available, fresh, serving_database
from tests.support.garbage import collect_seldom

FAULTS = (Strike.FAIL, Strike.FAIL_FOR_GOOD)
#: A folder in memory where there is one: no test pulls the plug, and each commit waits for a disk else.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


class _Log:
    """Counts strikes, and prints what they found at once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.counts: Counter[str] = Counter()
        self.found = 0
        self._began = time.monotonic()

    def strike(self, what: str, name: str, strike: Callable[[], Any]) -> None:
        try:
            strike()
        except AssertionError as error:
            self.found += 1
            print(f"{self.kind}: FOUND by {name}: {error}", flush=True)
        self.counts[what] += 1
        if sum(self.counts.values()) % 100 == 0:
            self.report()

    def report(self) -> None:
        words = ", ".join(f"{count:,} {what}" for what, count in sorted(self.counts.items()))
        seconds = time.monotonic() - self._began
        print(f"{self.kind}: {words}; {self.found} findings; {seconds:.0f} s", flush=True)


def main() -> None:
    """Strike on each database; fail if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.crashes", description=__doc__)
    parser.add_argument("databases", nargs="*", metavar="DATABASE", help=f"of {', '.join(KINDS)}; all by default")
    parser.add_argument("--points", type=int, default=10_000, help="kills, and as many faults, over all databases")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    collect_seldom()
    kinds = [kind for kind in given.databases or KINDS if available(kind) is None]
    logs = [_campaign(kind, given.points // len(kinds), given.seed) for kind in kinds]
    for log in logs:
        log.report()
    sys.exit(any(log.found for log in logs))


def _campaign(kind: str, points: int, seed: int) -> _Log:
    log = _Log(kind)
    with campaign_on(kind) as campaign:
        for revision in earlier_revisions():
            for strike in (Strike.KILL, Strike.FAIL):
                for number in range(1, campaign.migration_points(revision, strike) + 1):
                    name = f"migration from {revision}, {strike.value} at {number}"
                    log.strike(
                        f"{_kind(strike)} in migrations", name, lambda r=revision, n=number, s=strike: campaign.strike_migration(r, n, s)
                    )  # fmt: skip
    with campaign_on(kind) as campaign:
        for number in range(points // 10):
            name = f"two runs, kill at {number % 100}, seed {number}"
            log.strike("kills of one of two runs", name, lambda n=number: campaign.strike_two(n % 100, n))
        for strikes, share in (((Strike.KILL,), 0.9), (FAULTS, 1.0)):
            for point in campaign.sample(int(points * share), strikes, seed):
                log.strike(_kind(point.strike), str(point), lambda p=point: campaign.strike(p))
    log.report()
    return log


def _kind(strike: Strike) -> str:
    return "kills" if strike is Strike.KILL else "faults"


@contextmanager
def campaign_on(kind: str) -> Any:
    """Give a campaign on an empty database of a kind."""
    with tempfile.TemporaryDirectory(prefix="pme-crash-", dir=MEMORY) as folder, _serving(kind, folder) as address:
        campaign = Campaign(address, Path(folder))
        with campaign.stage.playing():
            yield campaign
        campaign.stage.close()


@contextmanager
def _serving(kind: str, folder: str) -> Any:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/ledger.db"
        return
    with serving_database(kind) as admin:
        yield fresh(admin)


if __name__ == "__main__":
    main()
