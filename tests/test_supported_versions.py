"""An Airflow or a copy of the package that cannot work is named, with what to install."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pme_airflow import __version__, supported_versions
from pme_airflow.cli import main
from pme_airflow.dev.playground.home import ROOT
from pme_airflow.supported_versions import (
    NEWEST_PYTHON,
    airflow_problem,
    check_airflow,
    installation_problem,
    python_problem,
)


def pretend(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    monkeypatch.setattr(supported_versions, "_version_of", lambda package: versions.get(package.replace("-", "_"), ""))


@pytest.mark.parametrize("found", ["3.1.0", "3.2.0rc1", "3.3.2", "3.10"])
def test_a_supported_airflow_is_taken(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    pretend(monkeypatch, apache_airflow_core=found)
    assert airflow_problem() == ""
    check_airflow()


@pytest.mark.parametrize("found", ["2.11.0", "3.0.6", "4.0.0", "4.0.0rc1"])
def test_another_airflow_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    pretend(monkeypatch, apache_airflow=found)
    with pytest.raises(ImportError, match=rf"{found} is installed. Run pip install 'apache-airflow>=3\.1,<4'"):
        check_airflow()
    done = CliRunner().invoke(main, ["fingerprint"], input="token")
    assert done.exit_code == 2
    assert f"below 4; {found} is installed" in done.output


@pytest.mark.parametrize(
    "module", ["operators.pme", "transfers.pme_to_http", "triggers.ledger", "hooks.pme", "refresh"]
)
def test_each_face_names_another_airflow_before_an_import_that_fails(module: str) -> None:
    """A real import, where ``airflow`` is a package of another version that has none of what the faces import."""
    pretended = """
import importlib.metadata, sys, types
from importlib import import_module
version = importlib.metadata.version
importlib.metadata.version = lambda name: "3.0.6" if name.startswith("apache-airflow") else version(name)
for name in ("airflow", "sqlalchemy", "starlette"):
    sys.modules[name] = types.ModuleType(name)
import_module("pme_airflow." + sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", pretended, module], cwd=ROOT, capture_output=True, text=True)
    assert "ImportError: pme-airflow" in done.stderr.splitlines()[-1]
    assert "3.0.6 is installed. Run pip install 'apache-airflow>=3.1,<4'" in done.stderr


def test_a_python_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(ImportError, match=r"needs Python 3\.10 or newer; .*python3\.12 -m pip install pme-airflow"):
        runpy.run_path(str(ROOT / "pme_airflow" / "__init__.py"))


def test_a_python_that_is_too_new_is_named_and_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_problem() == ""
    monkeypatch.setattr(supported_versions.sys, "version_info", (3, 15, 0, "final", 0))
    assert "is tried with Python 3.10 to 3.14; this is Python 3.15. " in python_problem()
    assert "python3.14 -m pip install pme-airflow" in python_problem()


def test_the_newest_python_is_the_newest_classifier() -> None:
    listed = re.findall(r"Python :: 3\.(\d+)", (ROOT / "pyproject.toml").read_text())
    assert max(map(int, listed)) == NEWEST_PYTHON[1]


def test_no_airflow_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert "none is installed" in airflow_problem()


def test_another_copy_than_the_installed_one_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert installation_problem() == ""
    pretend(monkeypatch, apache_airflow_core="3.3.2", pme_airflow="9.9.9")
    assert f"pme-airflow 9.9.9 is installed, but Python imports {__version__} from " in installation_problem()
    with caplog.at_level("WARNING"):
        supported_versions.warn_of_installation()
    assert "pme-airflow 9.9.9 is installed, but Python imports" in caplog.text
    done = CliRunner().invoke(main, ["fingerprint"], input="no token")
    assert "pme-airflow 9.9.9 is installed" in done.output
    assert "contain no token" in done.output
