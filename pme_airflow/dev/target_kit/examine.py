"""Examine a target as a whole: its contract, and nights of publishing."""

from __future__ import annotations

from pme_airflow.dev.target_kit.breaking import BreakingCalls
from pme_airflow.dev.target_kit.contract import check_contract
from pme_airflow.dev.target_kit.nights import Nights
from pme_airflow.dev.target_kit.place import Place
from pme_airflow.dev.target_kit.rig import serving_account

__all__ = ["check_target"]

#: The models of an examination. A place may make slots for them before it is examined.
MODELS = {"Kit00000001": "A hall", "Kit00000002": "A <b>&amp; yard"}


def check_target(place: Place, nights: int = 4) -> None:
    """Examine the target of a place: every call by itself, then some nights of publishing through faults.

    Each night new links are minted, by an emulated API, and published while requests on the way to the place, or calls
    of the target, fail before or after their work. After each try every slot must show one link that lives.

    :raises AssertionError: with what the target did wrong.
    """
    place.models = place.models or list(MODELS)
    check_contract(place, place.models)
    broken = place if type(place).break_it is not Place.break_it else BreakingCalls(place)
    with serving_account({model_id: MODELS.get(model_id, model_id) for model_id in place.models}) as rig:
        run = Nights(broken, rig.services, rig.clock, rig.world, place.models)
        run.go(nights)
        run.clear()
