"""What can go wrong with the ledger itself."""

from __future__ import annotations

from pme_airflow.api.errors import PMEError

__all__ = ["LedgerError", "LedgerUnavailableError", "LedgerVersionError"]


class LedgerError(PMEError):
    """The ledger cannot be used as it is set up: fix the set-up."""


class LedgerVersionError(LedgerError):
    """The ledger's tables are of another version than the package: migrate, or upgrade."""


class LedgerUnavailableError(PMEError):
    """The database did not answer, is full or went away: nothing was changed; try again."""

    permanent = False
