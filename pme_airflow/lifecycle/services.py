"""What every piece of work on links needs, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from pme_airflow.api.client import PMEClient
from pme_airflow.clock import Clock
from pme_airflow.errors import PMESealError, PMEUnavailableError
from pme_airflow.ledger import audit
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.publications import DEFAULT_GRACE
from pme_airflow.sealing import OpenedLink, Sealer

__all__ = ["CLOCK_UNCERTAINTY", "Services"]

#: How far a worker's clock may be from the server's before the first response with a ``Date`` header.
CLOCK_UNCERTAINTY = timedelta(minutes=11)
#: The same after the first response: ``Date`` has no fractions of a second, and takes a while to arrive.
_DATE_UNCERTAINTY = timedelta(seconds=2)


@dataclass(frozen=True)
class Services:
    """One connection's client, ledger and keys.

    :param grace: how long a link that was replaced everywhere is left alive.
    """

    client: PMEClient
    database: Database
    sealer: Sealer
    clock: Clock
    grace: timedelta = DEFAULT_GRACE

    def can_open(self, sealed: str) -> bool:
        """Whether one of the connection's keys sealed a text."""
        return self.sealer.knows(sealed)

    def open_item(self, item: dict[str, object]) -> OpenedLink:
        """The link in an XCom item.

        :raises PMESealError: where the item is not as the mint returned it.
        """
        link, link_id, model_id = item.get("link"), item.get("link_id"), item.get("model_id")
        if not (isinstance(link, str) and isinstance(link_id, str) and isinstance(model_id, str)):
            raise PMESealError("links: an item lacks link, link_id or model_id. Take items as the mint returned them.")
        return self.sealer.open(link, link_id, model_id)

    def live_links(self) -> Iterator[tuple[LinkRow, OpenedLink | None]]:
        """Every live link that is held, read in pages and opened; ``None`` beside one that no key at hand opens."""
        after = 0
        while True:
            with self.database.read() as tx:
                rows = audit.sealed_rows(tx, after)
            if not rows:
                return
            after = rows[-1].seq
            for row in rows:
                opened = None
                with suppress(PMESealError):
                    opened = self.sealer.open(row.sealed or "", row.link_id, row.model_id)
                yield row, opened

    def server_now(self) -> datetime:
        """Return the server's time, or the worker's before the first response."""
        return self.client.server_clock.now()

    def server_time_lower_bound(self) -> datetime:
        """Return a time that has certainly passed by the server's clock."""
        return self.server_now() - self._clock_uncertainty()

    def server_time_upper_bound(self) -> datetime:
        """Return a time that has certainly not passed by the server's clock."""
        return self.server_now() + self._clock_uncertainty()

    def _clock_uncertainty(self) -> timedelta:
        return _DATE_UNCERTAINTY if self.client.server_clock.known else CLOCK_UNCERTAINTY

    def learn_server_time(self) -> None:
        """Learn the server's time; if the API is unavailable, the worker's clock is used.

        :raises PMECredentialsError: where the credentials are refused.
        """
        try:
            self.client.sync_clock()
        except PMEUnavailableError:
            return
