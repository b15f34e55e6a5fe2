"""An Airflow or a copy of the package that cannot work is named, with what to install."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pme_airflow import __version__, supported_versions
from pme_airflow.cli import main
from pme_airflow.supported_versions import airflow_problem, check_airflow, installation_problem


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


def test_no_airflow_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert "none is installed" in airflow_problem()


def test_another_copy_than_the_installed_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation_problem() == ""
    pretend(monkeypatch, apache_airflow_core="3.3.2", pme_airflow="9.9.9")
    assert f"pme-airflow 9.9.9 is installed, but Python imports {__version__} from " in installation_problem()
    done = CliRunner().invoke(main, ["fingerprint"], input="no token")
    assert "pme-airflow 9.9.9 is installed" in done.output
    assert "contain no token" in done.output
