"""Each command's help has examples, and each example is one that the command takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from pme_airflow.cli import main
from pme_airflow.cli.examples import _EXAMPLES


def commands(group: click.Group, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("name", sorted(commands(main)))
def test_help_has_examples(name: str) -> None:
    shown = CliRunner().invoke(main, [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert f"Examples:\n    pme-airflow {name}" in shown.output


@pytest.mark.parametrize("example", [example for examples in _EXAMPLES.values() for example in examples])
def test_example_is_one_that_the_command_takes(example: str) -> None:
    words = shlex.split(example.partition("<")[0])
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("x", words, resilient_parsing=False).close()
