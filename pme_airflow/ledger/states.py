"""Which state of a link may follow which, and on what event. Nothing else decides that."""

from __future__ import annotations

from enum import Enum

from pme_airflow.errors import LedgerStateError

__all__ = ["ALIVE", "Event", "State", "next_state"]


class State(str, Enum):
    """What is known of a link's token."""

    MINTING = "minting"
    LIVE = "live"
    REVOKED = "revoked"
    EXPIRED = "expired"
    FAILED = "failed"
    UNACCOUNTED = "unaccounted"


class Event(str, Enum):
    """What happens to a link."""

    REQUESTED = "requested"
    MADE = "made"
    NOT_MADE = "not_made"
    LOST = "lost"
    ABANDONED = "abandoned"
    REVOKED = "revoked"
    EXPIRED = "expired"


#: States in which a token may be alive.
ALIVE = frozenset({State.MINTING, State.LIVE, State.UNACCOUNTED})

_TRANSITIONS: dict[tuple[State | None, Event], State] = {
    (None, Event.REQUESTED): State.MINTING,
    (State.MINTING, Event.MADE): State.LIVE,
    (State.MINTING, Event.NOT_MADE): State.FAILED,
    (State.MINTING, Event.LOST): State.UNACCOUNTED,
    (State.MINTING, Event.ABANDONED): State.UNACCOUNTED,
    (State.UNACCOUNTED, Event.MADE): State.LIVE,
    (State.UNACCOUNTED, Event.NOT_MADE): State.FAILED,
    (State.UNACCOUNTED, Event.EXPIRED): State.EXPIRED,
    # The answer of a worker that slept for longer than the link was asked to live.
    (State.EXPIRED, Event.MADE): State.LIVE,
    (State.EXPIRED, Event.LOST): State.UNACCOUNTED,
    (State.LIVE, Event.REVOKED): State.REVOKED,
    (State.LIVE, Event.EXPIRED): State.EXPIRED,
}


def next_state(state: State | None, event: Event) -> State:
    """The state after an event.

    :raises LedgerStateError: where the event may not happen in that state.
    """
    try:
        return _TRANSITIONS[state, event]
    except KeyError:
        before = state.value if state else "absent"
        raise LedgerStateError(f"A link that is {before} cannot be {event.value}.") from None
