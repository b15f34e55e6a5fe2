"""Create the targets that placements name outside of a task, so that their slots can be cleared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pme_airflow.errors import PMEError
from pme_airflow.lifecycle.retirement import PlacementSlots
from pme_airflow.placements import transfer_for

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.placements import Placement
    from pme_airflow.targets import Target

__all__ = ["PlacedTargets", "placed_targets"]


@dataclass(frozen=True)
class PlacedTargets:
    """The targets of placements.

    :param at: the targets by name.
    :param slots: what each placement shows.
    :param problems: a sentence for each target that cannot be reached from here.
    """

    at: dict[str, Target]
    slots: tuple[PlacementSlots, ...]
    problems: tuple[str, ...]

    def with_former(self, former: PlacedTargets) -> PlacedTargets:
        """Return these with the targets that only former placements name; what those show is not wanted any more."""
        return replace(self, at={**former.at, **self.at}, problems=self.problems + former.problems)


def placed_targets(hook: PMEHook, placements: Iterable[Placement]) -> PlacedTargets:
    """Return the targets of the placements of a connection. One that cannot be made costs that one alone."""
    at: dict[str, Target] = {}
    slots: list[PlacementSlots] = []
    problems: list[str] = []
    for placement in placements:
        if placement.pme_conn_id != hook.pme_conn_id:
            continue
        made: defaultdict[str, list[Target]] = defaultdict(list)
        for target in _targets(hook, placement, problems):
            made[target.name].append(target)
            at[target.name] = target
        models = None if placement.listed_models is None else frozenset(placement.listed_models)
        slots.append(PlacementSlots(placement.audience, frozenset(made), models, frozenset(placement.exclude), at=made))
    return PlacedTargets(at, tuple(slots), tuple(problems))


def _targets(hook: PMEHook, placement: Placement, problems: list[str]) -> list[Target]:
    made: list[Target] = []
    for number, spec in enumerate(placement.targets):
        where = f"Target {number} ({spec.kind}) of audience {placement.audience} cannot be reached"
        try:
            made.append(transfer_for(placement, spec, []).make_target(hook))
        except PMEError as error:
            problems.append(f"{where}: {error}")
        except Exception as error:  # noqa: BLE001 - the provider or author of a target may raise anything
            problems.append(f"{where} ({type(error).__name__}). Check its connection.")
    return made
