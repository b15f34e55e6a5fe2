"""What every use case needs: one connection's client, ledger and keys."""

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

__all__ = ["UNKNOWN_CLOCK_ERROR", "Services"]

#: How far a worker's clock may be from the server's while no response has given the difference.
UNKNOWN_CLOCK_ERROR = timedelta(minutes=11)
#: How far the server's time may be off once a response has given it: ``Date`` is cut to the second, and takes a while
#: to arrive.
_KNOWN_CLOCK_ERROR = timedelta(seconds=2)


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
        """Return whether one of the connection's keys opens a sealed text."""
        return self.sealer.knows(sealed)

    def open_item(self, item: dict[str, object]) -> OpenedLink:
        """Open the link in an XCom item.

        :raises PMESealError: if the item is not as the mint returned it.
        """
        link, link_id, model_id = item.get("link"), item.get("link_id"), item.get("model_id")
        if not (isinstance(link, str) and isinstance(link_id, str) and isinstance(model_id, str)):
            raise PMESealError("links: an item lacks link, link_id or model_id. Take items as the mint returned them.")
        return self.sealer.open(link, link_id, model_id)

    def open_row(self, row: LinkRow) -> OpenedLink:
        """Open the link of a row; of a token that opens several models, with the address of the first one.

        :raises PMESealError: if no key opens it, or its text was erased.
        """
        if row.sealed is None:
            raise PMESealError("its sealed text is gone")
        return self.sealer.open(row.sealed, row.link_id, row.opens[0])

    def live_links(self) -> Iterator[tuple[LinkRow, OpenedLink | None]]:
        """Yield every live link whose text is kept, opened; ``None`` in its place if no key opens it."""
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
                    opened = self.open_row(row)
                yield row, opened

    def server_now(self) -> datetime:
        """Return the server's time if a response contained it, else the worker's."""
        return self.client.server_clock.now()

    def server_time_lower_bound(self) -> datetime:
        """Return a time that has certainly passed by the server's clock."""
        return self.server_now() - self._clock_error()

    def server_time_upper_bound(self) -> datetime:
        """Return a time that has certainly not passed by the server's clock."""
        return self.server_now() + self._clock_error()

    def _clock_error(self) -> timedelta:
        return _KNOWN_CLOCK_ERROR if self.client.server_clock.known else UNKNOWN_CLOCK_ERROR

    def learn_server_time(self) -> None:
        """Request the server's time; if the API is unavailable, go on by the worker's clock.

        :raises PMECredentialsError: if the credentials are refused.
        """
        try:
            self.client.sync_clock()
        except PMEUnavailableError:
            return
