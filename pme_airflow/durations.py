"""Durations as users write them, and the validity that a link is requested with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import pendulum

from pme_airflow.errors import PMEInputError

__all__ = ["MAX_VALIDITY", "SHORT_VALIDITY", "Validity", "parse_duration"]

#: The longest validity the API grants ("The max amount of time that can be configured is 24 hours", the vendor's FAQ).
MAX_VALIDITY = timedelta(hours=24)

_SHORTHAND = re.compile(r"([0-9]{1,9})([dhms])\Z", re.ASCII)
_ISO = re.compile(r"P(?=[0-9T])(?:[0-9]+W)?(?:[0-9]+D)?(?:T(?=[0-9])(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+S)?)?\Z", re.ASCII)
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SHORTEST_SECONDS = 30
#: Longer durations are mistakes; and with some thousands of years no time can be computed.
_LONGEST = timedelta(days=36_525)
#: What is wrong with a validity of less than 30 s, for a warning.
SHORT_VALIDITY = "The vendor asks for at least 30 s, since Showcase needs time to start. Give more, 10m for example."
_FORMS = "digits and a unit (24h, 10m, 30s), an ISO-8601 duration (PT10M, P1D) or a timedelta"


def parse_duration(value: object, field: str = "valid_for") -> timedelta:
    """Parse a positive duration of whole seconds in any documented form.

    :param value: ``"24h"``, ``"10m"``, ``"30s"``, ``"PT10M"``, ``"P1D"`` or a :class:`~datetime.timedelta`.
    :param field: the setting's name, for error messages.
    :return: the duration.
    :raises PMEInputError: where the form is unknown, or the duration is zero, negative or not of whole seconds.
    """
    if isinstance(value, timedelta):
        length = value
    elif isinstance(value, str):
        length = _parse_text(value.strip(), field)
    else:
        raise PMEInputError(f"expected {_FORMS}, got a {type(value).__name__}.", field)
    if length <= timedelta(0):
        raise PMEInputError(f"must be longer than zero. Give {_FORMS}.", field)
    if length > _LONGEST:
        raise PMEInputError("is over 100 years (36525d). Give less.", field)
    if length.microseconds:
        raise PMEInputError(f"must be of whole seconds. Give {_FORMS}.", field)
    return timedelta(seconds=int(length.total_seconds()))


def _parse_text(text: str, field: str) -> timedelta:
    if match := _SHORTHAND.match(text):
        return timedelta(seconds=int(match[1]) * _UNIT_SECONDS[match[2]])
    if len(text) <= 40 and _ISO.match(text):
        try:
            duration = pendulum.parse(text)
        except (ValueError, OverflowError):
            duration = None
        if isinstance(duration, pendulum.Duration):
            return timedelta(seconds=int(duration.total_seconds()))
    shown = repr(text) if len(text) <= 20 and text.isprintable() else f"{len(text)} characters"
    raise PMEInputError(f"{shown} is not a duration. Give {_FORMS}.", field)


@dataclass(frozen=True, order=True)
class Validity:
    """The validity that a link is requested with.

    :param seconds: whole seconds, from 1 to 86,400 (24 hours).
    :raises PMEInputError: for any other number.
    """

    seconds: int

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MAX_VALIDITY.total_seconds():
            raise PMEInputError(
                f"{self.seconds} s is outside of 1 s to 24 h, the longest the API grants. Give at most 24h.",
                "valid_for",
            )

    @classmethod
    def parse(cls, value: Validity | timedelta | str, field: str = "valid_for") -> Validity:
        """Parse a validity in any documented form.

        :param field: the setting's name, for error messages.
        :raises PMEInputError: where it is zero, negative, over 24 h, of an unknown unit or not of whole seconds.
        """
        if isinstance(value, Validity):
            return value
        return cls(int(parse_duration(value, field).total_seconds()))

    @property
    def is_short(self) -> bool:
        """Whether Showcase may not have started before the link ends; see :data:`SHORT_VALIDITY`."""
        return self.seconds < _SHORTEST_SECONDS

    @property
    def duration(self) -> timedelta:
        """The validity as a timedelta."""
        return timedelta(seconds=self.seconds)

    def __str__(self) -> str:
        """Return the shortest exact form that the API accepts: ``24h``, ``90m``, ``3661s``."""
        for unit in "hm":
            if self.seconds % _UNIT_SECONDS[unit] == 0:
                return f"{self.seconds // _UNIT_SECONDS[unit]}{unit}"
        return f"{self.seconds}s"
