"""A step of a migration does nothing where an earlier try has done it already."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pme_airflow.ledger.migrations import steps


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    """A database whose changes steps make."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as made, Operations.context(MigrationContext.configure(made)):
        yield made
    engine.dispose()


def found(connection: sa.Connection) -> dict[str, tuple[list[str], list[str | None]]]:
    """The columns and indexes of each table."""
    seen = sa.inspect(connection)
    return {
        name: (
            [column["name"] for column in seen.get_columns(name)],
            sorted(str(index["name"]) for index in seen.get_indexes(name)),
        )
        for name in seen.get_table_names()
    }  # fmt: skip


def test_each_step_is_taken_once_however_often_it_is_tried(connection: sa.Connection) -> None:
    for _ in range(2):
        steps.create_table("one", sa.Column("key", sa.Integer, primary_key=True))
    assert found(connection) == {"one": (["key"], [])}
    for _ in range(2):
        steps.add_column("one", sa.Column("name", sa.String(10)))
    assert found(connection) == {"one": (["key", "name"], [])}
    for _ in range(2):
        steps.create_index("one_name", "one", ["name"], unique=True)
    assert found(connection) == {"one": (["key", "name"], ["one_name"])}
    assert sa.inspect(connection).get_indexes("one")[0]["unique"]
    for _ in range(2):
        steps.drop_index("one_name", "one")
    assert found(connection) == {"one": (["key", "name"], [])}
    for _ in range(2):
        steps.drop_column("one", "name")
    assert found(connection) == {"one": (["key"], [])}
    for _ in range(2):
        steps.drop_table("one")
    assert found(connection) == {}


def test_what_belonged_to_a_table_that_is_gone_is_gone_with_it(connection: sa.Connection) -> None:
    steps.drop_column("none", "name")
    steps.drop_index("none_name", "none")
    assert found(connection) == {}


def test_a_step_changes_nothing_beside_what_it_names(connection: sa.Connection) -> None:
    for name in ("one", "two"):
        steps.create_table(name, sa.Column("key", sa.Integer, primary_key=True), sa.Column("name", sa.String(10)))
        steps.create_index(f"{name}_name", name, ["name"])
        steps.create_index(f"{name}_both", name, ["name", "key"])
    steps.drop_index("one_name", "one")
    assert found(connection) == {
        "one": (["key", "name"], ["one_both"]),
        "two": (["key", "name"], ["two_both", "two_name"]),
    }
    steps.drop_table("two")
    assert set(found(connection)) == {"one"}
