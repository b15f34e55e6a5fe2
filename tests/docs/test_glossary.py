"""The glossary has every state and every event of the ledger, and no other."""

from __future__ import annotations

import re

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.ledger.states import Event, State, next_state

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
RECORDED = re.compile(r'record_events\(\s*tx,\s*"(\w+)"')


def rows_of(heading: str) -> dict[str, list[str]]:
    """Return the cells of a section's table by the word in the first one."""
    section = GLOSSARY.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_state_is_described_with_the_states_that_may_follow() -> None:
    described = {state: set(re.findall(r"`(\w+)`", cells[1])) for state, cells in rows_of("States of a link").items()}
    assert described == {state.value: followers(state) for state in State}


def followers(state: State) -> set[str]:
    found = set()
    for event in Event:
        try:
            found.add(next_state(state, event).value)
        except Exception:  # noqa: BLE001, S112 - an event that may not happen in this state
            continue
    return found


def test_every_event_is_described() -> None:
    sources = [path.read_text() for path in (ROOT / "pme_airflow" / "ledger").glob("*.py")]
    recorded = {name for source in sources for name in RECORDED.findall(source)}
    recorded |= {"delisted", *(event.value for event in Event)}
    assert len(recorded) > 12
    assert set(rows_of("Events")) == recorded
