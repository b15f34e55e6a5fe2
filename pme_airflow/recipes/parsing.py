"""Read a recipe as YAML gives it, and name everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.recipes.fields import Fields, is_own_name
from pme_airflow.recipes.model import PUBLIC_VALUES, Recipe, Section, Step
from pme_airflow.recipes.references import check_references
from pme_airflow.recipes.step_parsing import read_step
from pme_airflow.recipes.templates import Template

__all__ = ["RECIPE_KEYS", "SIGNERS", "read_recipe", "recipe_of", "slot_source"]

#: The keys of a recipe.
RECIPE_KEYS = frozenset({"keeps_old", "signer", "slot", "texts", *(section.value for section in Section)})
#: How requests can be signed in place of the connection's credentials.
SIGNERS = frozenset({"ghost"})
#: What a slot is called unless the recipe says it.
_SLOT = "{{ model_id }}"
_MAX_STEPS = 20
_MAX_TEXTS = 20


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """Read a recipe.

    :raises PMEInputError: with all that is wrong, a line each.
    """
    fields = Fields()
    recipe = read_recipe(options, fields)
    if recipe is None:
        raise PMEInputError("\n".join(f"{key}: {problem}" for key, problem in fields.problems))
    return recipe


def read_recipe(options: Mapping[str, Any], fields: Fields | None = None) -> Recipe | None:
    """Read a recipe; ``None`` if something is wrong, and what it is stands in ``fields.problems``."""
    fields = Fields() if fields is None else fields
    texts = _read_texts(options.get("texts"), fields)
    sections = {section: _read_section(options, section, texts, fields) for section in Section}
    slot = _read_slot(options, fields)
    signer = options.get("signer", "")
    if signer and not (isinstance(signer, str) and signer in SIGNERS):
        fields.add("signer", f"is unknown; the signers are {', '.join(sorted(SIGNERS))}")
    keeps_old = options.get("keeps_old", False)
    if not isinstance(keeps_old, bool):
        fields.add("keeps_old", "give true or false")
    if not sections[Section.PUT]:
        fields.add("steps", "give a list of at least one request that writes the link")
    elif not any(step.writes for step in sections[Section.PUT]):
        fields.add("steps", "none of them writes: give the request that puts the link in place its method")
    given = {section: steps for section, steps in sections.items() if steps}
    recipe = Recipe(slot, given, texts, str(signer), keeps_old is True)
    if not fields.problems:
        check_references(recipe, fields)
    return None if fields.problems else recipe


def slot_source(options: Mapping[str, Any]) -> str:
    """Return the template of a recipe's slots.

    It is ``slot``; or else the endpoint of the first request that writes and that the model and the audience suffice
    to fill in; or else the model.
    """
    given = options.get("slot")
    if given is not None:
        return str(given)
    steps = options.get("steps")
    for step in steps if isinstance(steps, list) else []:
        endpoint = step.get("endpoint") if isinstance(step, Mapping) else None
        if isinstance(endpoint, str) and _writes(step) and _names_slots(endpoint):
            return endpoint
    return _SLOT


def _writes(step: Mapping[str, Any]) -> bool:
    return str(step.get("method", "GET")).upper() not in ("GET", "HEAD")


def _names_slots(source: str) -> bool:
    try:
        names = {str(reference) for reference in Template(source).references}
    except PMEInputError:
        return False
    return "model_id" in names and names <= set(PUBLIC_VALUES[:2])


def _read_slot(options: Mapping[str, Any], fields: Fields) -> Template:
    source = slot_source(options)
    slot = fields.template(source, "slot") or Template(_SLOT)
    names = {str(reference) for reference in slot.references}
    if "model_id" not in names:
        fields.add("slot", "is the same for every model; let it contain {{ model_id }}")
    if names - set(PUBLIC_VALUES[:2]):
        fields.add("slot", "may contain {{ model_id }} and {{ audience }} alone")
    return slot


def _read_texts(raw: Any, fields: Fields) -> dict[str, Template]:
    found: dict[str, Template] = {}
    for name, source in fields.mapping(raw, "texts").items():
        if not is_own_name(name):
            fields.add(f"texts.{name}", "give it a name of small letters, digits and underscores that is not taken")
        text = fields.template(source, f"texts.{name}")
        if text is not None:
            found[name] = text
    if len(found) > _MAX_TEXTS:
        fields.add("texts", f"has more than {_MAX_TEXTS} texts")
    return found


def _read_section(
    options: Mapping[str, Any], section: Section, texts: Mapping[str, Template], fields: Fields
) -> tuple[Step, ...]:
    raw = options.get(section.value)
    if raw is None:
        return ()
    if not isinstance(raw, list) or not 0 < len(raw) <= _MAX_STEPS:
        fields.add(section.value, f"give a list of 1 to {_MAX_STEPS} requests")
        return ()
    steps = [read_step(entry, f"{section.value}[{index}]", index, fields) for index, entry in enumerate(raw)]
    names = [step.name for step in steps if step is not None]
    for name in sorted({name for name in names if names.count(name) > 1 or name in texts}):
        fields.add(section.value, f"{name} is the name of two steps, or of a text; give each its own")
    return tuple(step for step in steps if step is not None)
