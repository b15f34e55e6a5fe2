"""Checking placements: whether their schedule leaves a gap, their models exist, and their targets can show links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pme_airflow.api.messages import Model
from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.placements import Placement, plan
from pme_airflow.targets.base import Target

__all__ = ["check_other_connection", "check_placements", "check_target", "items_of", "unreadable"]

#: The outage that the shipped schedule survives with links of 24 h (11 h) is more than this.
_SHORT_OUTAGE = timedelta(hours=1)
_MAX_NAMED = 5
#: How Airflow names a connection that it does not find; an id is no secret.
_CONN_ID = re.compile(r"conn_id `([\w.-]{1,250})`")
_MAX_ITEMS = 100


def check_placements(placements: Sequence[Placement], listed: Mapping[str, Model] | None) -> Iterator[CheckResult]:
    """Check schedules and models.

    :param listed: the account's models, if all of them could be listed.
    """
    if not placements:
        cure = "Write a placement for each audience (docs/how-to/choose-models.md), or name the file in PME_PLACEMENTS."
        yield CheckResult.warning("placements", "The file names no placements, so nothing is published.", cure)
    for placement in placements:
        yield _check_schedule(placement)
        yield from _check_models(placement, listed)


def check_other_connection(placement: Placement, find: Callable[[str], object]) -> CheckResult:
    """Check that the connection of a placement that is not of the examined one exists.

    :param find: returns a connection; it raises an error of this package where there is none.
    """
    conn_id = placement.pme_conn_id
    try:
        find(conn_id)
    except PMEError as error:
        cure = f"Define the connection, or correct pme_conn_id of the placement {placement.audience}."
        return CheckResult.of_error("connection", error, cure)
    finding = (
        f"{placement.audience} is of the connection {conn_id}; `pme-airflow doctor --conn-id {conn_id}` checks it."
    )
    return CheckResult.good("connection", finding)


def unreadable(error: PMEInputError) -> Iterator[CheckResult]:
    """Yield a result for each thing that is wrong with a file of placements."""
    first, *problems = str(error).split("\n  - ")
    for problem in problems:
        cure = "Correct this key (docs/how-to/choose-models.md); `pme-airflow plan` checks the file again."
        yield CheckResult.bad("file", problem.rstrip(".") + ".", cure)
    if not problems:
        yield CheckResult.of_error("file", PMEInputError(first), _cure_of(first))


def _cure_of(problem: str) -> str:
    return problem.partition(". ")[2] or "Correct the file as YAML; `pme-airflow plan` checks it again."


def items_of(placement: Placement, listed: Iterable[Model]) -> list[dict[str, str]]:
    """Return what a placement's targets are to show, up to 100 models, as :meth:`Target.check` takes it."""
    excluded = set(placement.exclude)
    models = placement.listed_models
    ids = [model.model_id for model in listed] if models is None else models
    shown = [model_id for model_id in ids if model_id not in excluded]
    return [{"model_id": model_id, "audience": placement.audience} for model_id in shown[:_MAX_ITEMS]]


def check_target(make: Callable[[], Target], items: Sequence[Mapping[str, Any]]) -> Iterable[CheckResult]:
    """Make a target and let it check itself.

    :param make: returns the target; what it raises says that its connection, library or class is wrong.
    """
    try:
        target = make()
    except PMEError as error:
        return [CheckResult.of_error("set-up", error)]
    except Exception as error:  # noqa: BLE001 - the provider or author of a target may raise anything
        return [_unexpected("The target cannot be made", error)]
    takes_items = bool(inspect.signature(target.check).parameters)
    try:
        results = target.check(items) if takes_items else target.check()
        return list(results) if results else [CheckResult.good("check", "The target's own check found nothing wrong.")]
    except PMEError as error:
        return [CheckResult.of_error("check", error)]
    except Exception as error:  # noqa: BLE001
        return [_unexpected("The target's check failed", error)]


def _unexpected(what: str, error: Exception) -> CheckResult:
    """Return the result for an exception of another package, whose text may contain a secret."""
    kind = type(error).__name__
    if kind == "AirflowNotFoundException":
        named = _CONN_ID.search(str(error))
        which = f" ({named[1]})" if named else ""
        return CheckResult.bad(
            "set-up", f"Its Airflow connection is not defined{which}.", "Define it, or correct its id."
        )
    return CheckResult.bad("set-up", f"{what} ({kind}).", "Check its connection and its options in the placement.")


def _check_schedule(placement: Placement) -> CheckResult:
    outage = plan(placement)
    finding = f"{placement.audience}: {outage.in_words()}"
    if outage.leaves_gap:
        return CheckResult.bad("schedule", finding, f"{outage.cure}.")
    if outage.survives < _SHORT_OUTAGE:
        return CheckResult.warning("schedule", finding, "Make valid_for longer, up to 24h, or renew_before longer.")
    return CheckResult.good("schedule", finding)


def _check_models(placement: Placement, listed: Mapping[str, Model] | None) -> Iterator[CheckResult]:
    ids = placement.listed_models
    if listed is None or ids is None:
        return
    missing = [model_id for model_id in ids if model_id not in listed]
    inactive = [model_id for model_id in ids if model_id in listed and listed[model_id].state not in ("active", "")]
    if missing:
        finding = f"{placement.audience}: the account does not list {_named(missing)}."
        yield CheckResult.bad("models", finding, "Correct the ids in models, or take them out.")
    if inactive:
        finding = f"{placement.audience}: {_named(inactive)} cannot be minted for, being inactive."
        yield CheckResult.bad("models", finding, "Activate the models, or take them out of models.")
    if not missing and not inactive and ids:
        yield CheckResult.good("models", f"{placement.audience}: the account lists all {len(ids)} models.")


def _named(ids: Sequence[str]) -> str:
    more = len(ids) - _MAX_NAMED
    return ", ".join(ids[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
