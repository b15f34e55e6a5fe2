"""A recipe that reads an entry's version, writes the entry and publishes it, as tests change it."""

from __future__ import annotations

import copy
from typing import Any

from pme_airflow.recipes import read_recipe
from pme_airflow.recipes.fields import Fields

VERSIONED: dict[str, Any] = {
    "steps": [
        {"name": "read", "endpoint": "entries/{{ model_id }}", "keep": ["sys.version", "fields.note"]},
        {
            "name": "write", "method": "PUT", "endpoint": "entries/{{ model_id }}", "keep": "sys.version",
            "headers": {"X-Version": "{{ read.sys.version }}"}, "expected_statuses": 200,
            "json": {"fields": {"url": "{{ link }}", "note": "{{ read.fields.note }}"}},
        },
        {
            "method": "PUT", "endpoint": "entries/{{ model_id }}/published",
            "headers": {"X-Version": "{{ write.sys.version }}"},
        },
    ],
    "read_back": [{"endpoint": "public/{{ model_id }}", "anonymous": True}],
    "take_away": [
        {"name": "read", "endpoint": "entries/{{ model_id }}", "keep": "sys.version"},
        {
            "method": "PUT", "endpoint": "entries/{{ model_id }}", "headers": {"X-Version": "{{ read.sys.version }}"},
            "json": {"fields": {"url": None}},
        },
    ],
}  # fmt: skip


def versioned(**changed: Any) -> dict[str, Any]:
    """A copy with other sections."""
    return {**copy.deepcopy(VERSIONED), **changed}


def with_step(**changed: Any) -> dict[str, Any]:
    """A copy whose second step has other keys."""
    made = versioned()
    made["steps"][1].update(changed)
    return made


def problems_of(options: dict[str, Any]) -> list[str]:
    """What is wrong with a recipe."""
    fields = Fields()
    read = read_recipe(options, fields)
    assert (read is None) == bool(fields.problems)
    return [f"{key}: {problem}" for key, problem in fields.problems]
