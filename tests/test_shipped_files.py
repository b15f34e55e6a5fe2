"""Files that are shipped in addition to the code are found in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from pme_airflow import shipped_files
from pme_airflow.dev.playground.home import ROOT
from pme_airflow.errors import PMEInputError
from pme_airflow.shipped_files import shipped


def test_a_checkout_has_them_beside_the_package() -> None:
    assert shipped("dags") == ROOT / "dags"
    assert shipped("extras/wordpress/pme-embed/pme-embed.php").is_file()


def test_a_wheel_has_them_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dags").mkdir()
    monkeypatch.setattr(shipped_files, "_INSTALLED", tmp_path)
    assert shipped("dags") == tmp_path / "dags"
    with pytest.raises(PMEInputError, match=r"rules is missing\. Install pme-airflow again"):
        shipped("rules")
