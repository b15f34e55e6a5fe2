"""Errors of the PME API, split by what the caller can do about them.

No message here ever holds a secret, a token, a query text or an answer's body: a server may echo what it was sent,
so of its own words only a status and a short code are passed on.
"""

from __future__ import annotations

__all__ = [
    "PMECredentialsError",
    "PMEError",
    "PMEInputError",
    "PMELostAnswerError",
    "PMEModelError",
    "PMENotEnabledError",
    "PMEProtocolError",
    "PMEUnavailableError",
]


class PMEError(Exception):
    """Base of everything this package raises on purpose.

    ``permanent`` says whether trying again without a change by a person is a waste.
    """

    permanent = True


class PMECredentialsError(PMEError):
    """The client id or secret was refused: fix the connection."""


class PMENotEnabledError(PMECredentialsError):
    """The credentials are right but may not use Private Model Embed: talk to the vendor."""


class PMEInputError(PMEError, ValueError):
    """A value was refused before or by the API: fix the input."""


class PMEModelError(PMEError):
    """One model was refused (unknown, inactive, not this organisation's): fix or drop that model."""


class PMEProtocolError(PMEError):
    """The server answered, but not as a PME API does: check the host."""


class PMEUnavailableError(PMEError):
    """The API could not be reached, was busy or broken: wait and try again."""

    permanent = False


class PMELostAnswerError(PMEUnavailableError):
    """Answers were lost after the request was sent, so a token may exist that nobody holds."""
