"""The architecture page names files and functions that exist."""

from __future__ import annotations

import ast
import re

import pytest

from pme_airflow.dev.playground.home import ROOT

PACKAGE = ROOT / "pme_airflow"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
#: A file, and the functions that are named behind it: `ledger/claims.py`: `take`, `held`
NAMED = re.compile(r"`([\w/]+\.py)`(?:: ((?:`\w+`(?:, )?)+))?")
FOLDER = re.compile(r"`([a-z_/]+/)`")


def pairs() -> list[tuple[str, str]]:
    found = set()
    for file, functions in NAMED.findall(PAGE):
        for function in re.findall(r"`(\w+)`", functions) or [""]:
            found.add((file.removeprefix("pme_airflow/"), function))
    return sorted(found)


@pytest.mark.parametrize(("file", "function"), pairs())
def test_every_named_function_is_defined_in_its_file(file: str, function: str) -> None:
    path = PACKAGE / file
    assert path.is_file()
    if function:
        tree = ast.parse(path.read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert function in defined


def test_many_functions_are_named() -> None:
    assert sum(bool(function) for _, function in pairs()) > 25


@pytest.mark.parametrize("folder", sorted(set(FOLDER.findall(PAGE))))
def test_every_named_folder_exists(folder: str) -> None:
    assert (PACKAGE / folder.removeprefix("pme_airflow/")).is_dir()


def test_every_package_is_described() -> None:
    described = set(re.findall(r"`(?:pme_airflow/)?(\w+)/`", PAGE))
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= described
