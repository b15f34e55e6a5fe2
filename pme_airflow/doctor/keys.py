"""Checking the keys: whether the connection's client secret and seal keys open the ledger's live links."""

from __future__ import annotations

from collections.abc import Iterator

from pme_airflow.checks import CheckResult
from pme_airflow.errors import LedgerMissingError
from pme_airflow.lifecycle.services import Services

__all__ = ["check_keys"]

_ADD_KEY = (
    "Add the earlier seal key to the end of Seal keys, or the earlier client secret as open:SECRET; then run "
    "`pme-airflow ledger reseal`."
)


def check_keys(services: Services) -> Iterator[CheckResult]:
    """Open every live link of the connection's client."""
    opened = locked = outdated = 0
    try:
        for row, link in services.live_links():
            if link is None:
                locked += row.client_id == services.client.client_id
                continue
            opened += 1
            outdated += not services.sealer.is_current(row.sealed or "")
    except LedgerMissingError:
        yield CheckResult.good("live links", "There are no links yet that a key has to open.")
        return
    if locked:
        finding = (
            f"{locked} live links are sealed with a key that this connection does not hold: they can neither be shown "
            "nor revoked."
        )
        yield CheckResult.bad("live links", finding, _ADD_KEY)
    if outdated:
        finding = f"{outdated} live links are sealed with an earlier key, which must stay until they are resealed."
        yield CheckResult.warning("earlier keys", finding, "Run `pme-airflow ledger reseal`.")
    if not locked:
        yield CheckResult.good("live links", f"The connection's keys open all {opened} live links.")
