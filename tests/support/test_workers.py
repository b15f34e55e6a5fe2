"""Tests of one group run in one process: a whole Airflow fills both cores, and two of them make each other late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(20))
def test_one(number):
    pathlib.Path("ran_in", f"{os.environ['PYTEST_XDIST_WORKER']} {number}").touch()
"""
_HOOK = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xdist_group("whole-airflow"))
"""


def test_the_installed_xdist_keeps_a_group_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "ran_in").mkdir()
    (tmp_path / "test_it.py").write_text(_TESTS)
    (tmp_path / "conftest.py").write_text(_HOOK)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "-p",
        "no:cacheprovider",
        "-c",
        "none.ini",
    ]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    ran = [path.name.split()[0] for path in (tmp_path / "ran_in").iterdir()]
    assert (len(ran), len(set(ran))) == (20, 1)
