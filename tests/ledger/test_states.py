"""Which state may follow which: a token that is over is never alive again, and one that may be alive is never lost."""

from __future__ import annotations

import pytest

from pme_airflow.errors import LedgerStateError
from pme_airflow.ledger.states import ALIVE, Event, State, next_state

ALLOWED = {
    None: {"requested": "minting"},
    "minting": {"made": "live", "not_made": "failed", "lost": "unaccounted", "abandoned": "unaccounted"},
    "unaccounted": {"made": "live", "not_made": "failed", "expired": "expired"},
    "expired": {"made": "live", "lost": "unaccounted"},
    "live": {"revoked": "revoked", "expired": "expired"},
    "revoked": {},
    "failed": {},
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", [None, *State])
def test_each_event_happens_in_the_states_it_may_and_no_other(state: State | None, event: Event) -> None:
    expected = ALLOWED[None if state is None else state.value].get(event.value)
    if expected is None:
        with pytest.raises(LedgerStateError, match=f"{state.value if state else 'absent'} cannot be {event.value}"):
            next_state(state, event)
    else:
        assert next_state(state, event).value == expected


def test_a_token_may_be_alive_until_it_is_known_not_to_be() -> None:
    assert {state.value for state in ALIVE} == {"minting", "live", "unaccounted"}
