"""Check that every value that a recipe's templates name is there when they are filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pme_airflow.recipes.answers import Path
from pme_airflow.recipes.fields import Fields
from pme_airflow.recipes.model import Recipe, Section
from pme_airflow.recipes.templates import Reference

__all__ = ["CONNECTION_VALUES", "check_references"]

#: What templates may name of the connection.
CONNECTION_VALUES = ("login", "password")


def check_references(recipe: Recipe, fields: Fields) -> None:
    """Add each reference to a value that does not exist, is not kept, or is kept later."""
    for name, text in recipe.texts.items():
        for reference in text.references:
            if reference.path or reference.name not in Section.PUT.values:
                fields.add(f"texts.{name}", f"{reference} is unknown; texts may name {', '.join(Section.PUT.values)}")
    for section in Section:
        for index, problem in _problems(recipe, section):
            fields.add(f"{section.value}[{index}]", problem)


def _problems(recipe: Recipe, section: Section) -> Iterator[tuple[int, str]]:
    steps = recipe.steps(section)
    later = {step.name for step in steps}
    kept: dict[str, frozenset[Path]] = {}
    for index, step in enumerate(steps):
        for reference in step.references:
            problem = _problem(reference, recipe, section, kept, later)
            if problem:
                yield index, problem
        kept[step.name] = frozenset(keep.name for keep in step.keep)


def _problem(
    reference: Reference, recipe: Recipe, section: Section, kept: Mapping[str, frozenset[Path]], steps: set[str]
) -> str:
    """Return what is wrong with a reference; empty if nothing is.

    :param kept: what the steps before this one keep.
    :param steps: the names of all steps of the section.
    """
    name = reference.name
    if name in kept:
        return _problem_of_kept(reference, kept[name])
    if name in steps:
        return f"{reference} is of this step or a later one; a step can use those before it"
    if name == "connection":
        known = ", ".join(f"connection.{value}" for value in CONNECTION_VALUES)
        return "" if ".".join(map(str, reference.path)) in CONNECTION_VALUES else f"{reference} is unknown; use {known}"
    if name in recipe.texts:
        missing = {r.name for r in recipe.texts[name].references} - set(section.values)
        return f"the text {name} has {', '.join(sorted(missing))}, unknown in {section.value}" if missing else ""
    if name in section.values:
        return f"{reference} is unknown: {name} is a text" if reference.path else ""
    known = ", ".join((*section.values, "connection", *recipe.texts, *kept))
    return f"{reference} is unknown; what is known there: {known}"


def _problem_of_kept(reference: Reference, kept: frozenset[Path]) -> str:
    if any(reference.path[: len(path)] == path for path in kept):
        return ""
    names = ", ".join(".".join(map(str, path)) for path in sorted(kept, key=str)) or "nothing"
    return f"{reference} is not kept: {reference.name} keeps {names}"
