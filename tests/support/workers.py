"""Running the suite on several processes: what belongs to one of them, and what all of them share."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

#: A module that uses one of these starts a whole Airflow: some seven processes, which fill two cores for a while.
_WHOLE_AIRFLOW = frozenset({"DrivenAirflow", "Farm", "LiveAirflow"})
_SHARED_SCOPES = frozenset({"class", "module", "package"})


def group_of(item: pytest.Item) -> str | None:
    """Return the group of a test, all of whose tests run in one process, one after the other.

    All tests that start a whole Airflow are one group. A test that shares a fixture with others of its module runs with
    them, so that the fixture is made once. Every other test runs where there is room.
    """
    module = getattr(item, "module", None)
    if module and _WHOLE_AIRFLOW & vars(module).keys():
        return "whole-airflow"
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - no public name has the scopes
    scopes = {definition.scope for found in definitions.values() for definition in found}
    return item.nodeid.partition("::")[0] if scopes & _SHARED_SCOPES else None


def arrange(items: list[pytest.Item]) -> None:
    """Assign each test to its group, unless it names one itself, and begin with the longest group."""
    for item in items:
        group = group_of(item)
        if group and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: group_of(item) != "whole-airflow")


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first process to need it makes, for all processes of the run.

    :param make: makes the folder at the given path.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    made = folder / f"{name}-made"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(folder / name)
            made.touch()
    return folder / name
