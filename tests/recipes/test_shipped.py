"""Every shipped recipe is accepted by a placement, clears what it puts, and reads what readers get."""

from __future__ import annotations

import pytest

from pme_airflow.recipes import Section, recipe_of
from tests.support.recipes import FOLDER, NAMES, options_of


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_is_whole(name: str) -> None:
    recipe = recipe_of(options_of(name))
    assert recipe.steps(Section.READ), "nothing is read back"
    assert recipe.steps(Section.CLEAR), "slots cannot be cleared"
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert "# Connection: type HTTP; " in text


def test_there_are_recipes() -> None:
    assert {
        "confluence",
        "contentful",
        "directus",
        "mediawiki",
        "redmine",
        "sanity",
        "sharepoint",
        "storyblok",
        "strapi",
    } <= set(NAMES)
