"""Errors, split by what the caller can do about them.

No message holds a secret, a token, a query text or a response's body: a server may echo what it was sent, so of its
own words only a status and a short code are repeated.
"""

from __future__ import annotations

__all__ = [
    "LedgerConflictError",
    "LedgerConnectionError",
    "LedgerError",
    "LedgerMissingError",
    "LedgerStateError",
    "LedgerUnavailableError",
    "LedgerVersionError",
    "PMEConnectionError",
    "PMECredentialsError",
    "PMEError",
    "PMEInputError",
    "PMELostAnswerError",
    "PMEModelError",
    "PMENotEnabledError",
    "PMEProtocolError",
    "PMEReportError",
    "PMEScanError",
    "PMESealError",
    "PMESharedTokenError",
    "PMEUnavailableError",
    "PMEUnreachableError",
    "SlotError",
]


class PMEError(Exception):
    """Base of every error this package raises on purpose."""

    #: Whether trying again cannot succeed before a person changes something.
    permanent = True


class PMECredentialsError(PMEError):
    """The client id or secret was refused: fix the connection."""


class PMENotEnabledError(PMECredentialsError):
    """The credentials are right but may not use Private Model Embed: talk to the vendor."""


class PMEInputError(PMEError, ValueError):
    """A value was refused before or by the API: fix the input.

    :param problem: what is wrong, and what to give instead.
    :param field: the setting's name as users write it; it begins the message.
    """

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.problem = problem
        self.field = field


class PMEConnectionError(PMEInputError):
    """An Airflow connection was not found or could not be read: define it, or try again.

    Airflow tells a connection that nobody defined and a secrets backend that is away in the same words.
    """

    permanent = False


class PMEModelError(PMEError):
    """One model was refused (unknown, inactive, not this organisation's): fix or drop that model."""


class PMEProtocolError(PMEError):
    """The server answered, but not as a PME API does: check the host."""


class PMESharedTokenError(PMEError):
    """The API makes no tokens for several models: mint a link for each model."""


class PMEUnavailableError(PMEError):
    """The API could not be reached, was busy or broken: wait and try again."""

    permanent = False


class PMEUnreachableError(PMEUnavailableError):
    """The API could not be reached for the client's whole deadline, so other requests would not reach it either."""


class PMELostAnswerError(PMEUnavailableError):
    """Responses were lost after the request was sent, so a token may exist that nobody holds."""


class LedgerError(PMEError):
    """The ledger cannot be used as it is configured: fix the configuration."""


class LedgerConnectionError(LedgerError):
    """The ledger's Airflow connection was not found, read or opened: define or mend it, or try again."""

    permanent = False


class LedgerVersionError(LedgerError):
    """The ledger's tables are of another version than the package: migrate, or upgrade."""


class LedgerMissingError(LedgerError):
    """The ledger does not exist yet: the first mint makes it."""


class LedgerUnavailableError(PMEError):
    """The database did not answer, is full or went away: nothing was changed, so try again."""

    permanent = False


class LedgerConflictError(LedgerUnavailableError):
    """Other writers came in the way: nothing was changed; try the whole transaction again."""


class LedgerStateError(PMEError):
    """An event that is not allowed in a link's state: a defect, or a second writer."""


class PMESealError(PMEError):
    """A sealed link could not be opened: restore the key it was sealed with, or mint anew."""


class PMEReportError(PMEError):
    """A report cannot be read: repair it, or give it in another form."""


class PMEScanError(PMEError):
    """A part of what was to be scanned could not be read: see the message for the place."""


class SlotError(PMEError):
    """A slot could not be written, read back or cleared.

    :param passing: whether trying again without a change may help.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.permanent = not passing


class TargetUnavailableError(SlotError):
    """A target's host did not answer, or says that it is out of service: its other slots would fare no better now."""
