"""Checking a JSON API without writing: what readers get is read for some models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.targets.web import WebRefusal

__all__ = ["check_api"]

#: How many models' entries are read.
_MAX_READ = 5
_CREATE = "Create the entries first, or correct endpoint and {}."
_RUNNING = "Check that the host of the connection is right, and that it is running."

Read = Callable[[Mapping[str, Any]], object]


def check_api(
    place: str,
    read: Read | None,
    items: Sequence[Mapping[str, Any]],
    creates: bool,
    reading: str = "read_endpoint",
) -> Iterator[CheckResult]:
    """Check that entries can be read.

    :param place: the API's address, for people.
    :param read: reads the entry of a model and audience; ``None`` where the target reads nothing.
    :param items: the models that are to be shown.
    :param creates: whether the method makes entries that do not exist.
    :param reading: the setting that says what readers get.
    """
    if read is None:
        yield CheckResult.warning(
            "read",
            f"{place} is only written to: whether a link is shown is not read back.",
            f"Name what readers get the link from in {reading}.",
        )
        return
    missing = []
    for item in items[:_MAX_READ]:
        try:
            read(item)
        except WebRefusal as error:
            if error.status not in (404, 410):
                yield CheckResult.of_error("read", error, "" if error.permanent else _RUNNING)
                return
            missing.append(str(item["model_id"]))
        except SlotError as error:
            yield CheckResult.of_error("read", error, _RUNNING)
            return
    if missing and not creates:
        yield CheckResult.bad(
            "read",
            f"{place} has no entry for {', '.join(missing)}.",
            _CREATE.format(reading),
        )
        return
    if not items:
        yield CheckResult.warning(
            "read", f"{place} was not read, since no model is to be shown.", "Name models in the placement."
        )
        return
    yield CheckResult.good("read", f"{place} answers, and the account may read the entries.")
