"""Recipes of the HTTP target: the requests that show, read and clear a link, read from YAML and checked as a whole.

A recipe is checked without the API client, the ledger and ``requests``, because placements are checked when a DAG file
is parsed. ``pme_airflow.targets.http_steps`` sends its requests.
"""

from __future__ import annotations

from pme_airflow.recipes.model import Recipe, Section, Step
from pme_airflow.recipes.parsing import RECIPE_KEYS, read_recipe, recipe_of, slot_source
from pme_airflow.recipes.request_form import check_request, check_timeout

__all__ = [
    "RECIPE_KEYS", "Recipe", "Section", "Step", "check_request", "check_timeout", "read_recipe", "recipe_of",
    "slot_source",
]  # fmt: skip
