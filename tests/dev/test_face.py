"""The face of the development tools: every name it promises, and nothing loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pme_airflow.dev as dev


def test_every_exported_name_exists() -> None:
    for name in dev.__all__:
        assert getattr(dev, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dev.nothing


def test_importing_the_face_loads_none_of_the_tools() -> None:
    code = "import sys, pme_airflow.dev; print([name for name in sys.modules if name.startswith('pme_airflow.dev.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
