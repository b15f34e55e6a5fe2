"""The wheel and the source archive: what is in them, that they are checked, and that both work where they are put."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pme_airflow import __version__
from pme_airflow.dev.playground.home import ROOT

pytestmark = pytest.mark.xdist_group("package")
BIN = Path(sys.executable).parent
UV = BIN / "uv"
EPOCH = "1767225600"  # any fixed date: 2026-01-01


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PME_", "PYTHON"))}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env={**env, **environment}, capture_output=True, text=True, timeout=280
    )


def build(source: Path, to: Path) -> None:
    """Build the source archive of a folder, and the wheel from that archive."""
    options = ("--no-build-isolation", "--python", sys.executable, "-o", to)
    done = run(UV, "build", "-q", *options, source, cwd=source, SOURCE_DATE_EPOCH=EPOCH)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one build of this checkout makes."""
    if not UV.exists():
        pytest.skip("uv is not installed next to Python: run make .venv/.installed")
    folder = tmp_path_factory.mktemp("package")
    skipped = shutil.ignore_patterns(
        ".venv", ".git", "__pycache__", ".*_cache", ".hypothesis", "dist", "build", "*.egg-info"
    )
    shutil.copytree(ROOT, folder / "source", ignore=skipped)
    build(folder / "source", folder / "dist")
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(["tar", "-xzf", str(next(dist.glob("*.tar.gz"))), "-C", str(folder)], check=True)
    return folder / f"pme_airflow-{__version__}"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has the wheel in place of this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore", "AIRFLOW_HOME": str(folder / "airflow")}


def metadata(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"pme_airflow-{__version__}.dist-info/METADATA").decode()


def test_the_wheel_has_the_dags_the_rules_and_the_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for folder in ("dags", "rules", "extras"):
            files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
            assert files
            for path in files:
                assert archive.read(f"pme_airflow/share/{path.relative_to(ROOT)}") == path.read_bytes()
        names = archive.namelist()
    assert f"pme_airflow-{__version__}.dist-info/licenses/LICENSE" in names
    assert f"pme_airflow-{__version__}.dist-info/licenses/NOTICE" in names
    assert "pme_airflow/share/extras/wordpress/pme-embed/LICENSE" in names
    assert not [name for name in names if "__pycache__" in name or not name.startswith("pme_airflow")]


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = [
        path for path in (ROOT / "pme_airflow").rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo")
    ]
    assert {str(path.relative_to(ROOT)) for path in files} <= names


def test_the_package_page_has_no_relative_link(wheel: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", metadata(wheel))
    assert len(targets) > 10
    assert not [target for target in targets if not target.startswith(("https://", "#"))]
    assert f"/raw/v{__version__}/docs/images/" in metadata(wheel)


@pytest.mark.parametrize("minor", range(10, 15))
def test_each_supported_python_is_a_classifier(wheel: Path, minor: int) -> None:
    assert f"Classifier: Programming Language :: Python :: 3.{minor}\n" in metadata(wheel)


def test_the_checks_of_the_registry_pass(dist: Path, wheel: Path) -> None:
    for command in (
        ("-m", "twine", "--no-color", "check", "--strict", wheel, next(dist.glob("*.tar.gz"))),
        ("-m", "check_wheel_contents", "--config", ROOT / "pyproject.toml", wheel),
    ):
        done = run(sys.executable, *command, cwd=dist)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_build_from_the_source_archive_has_the_same_bytes(
    dist: Path, wheel: Path, unpacked: Path, tmp_path: Path
) -> None:
    build(unpacked, tmp_path)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_tests_of_the_source_archive_run_in_it(unpacked: Path) -> None:
    some = (
        "tests/test_durations.py",
        "tests/test_model_ids.py",
        "tests/placements/test_parsing.py",
        "tests/docs/test_links.py",
    )
    done = run(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *some, cwd=unpacked)
    assert done.returncode == 0, done.stdout[-3000:]
    where = "import pme_airflow; print(pme_airflow.__file__)"
    assert run(sys.executable, "-c", where, cwd=unpacked).stdout.startswith(str(unpacked))


def test_the_installed_wheel_writes_dags_that_it_can_plan(installed: dict[str, str], tmp_path: Path) -> None:
    made = run(sys.executable, "-m", "pme_airflow.cli", "init", "dags", cwd=tmp_path, **installed)
    assert made.returncode == 0, made.stderr
    planned = run(sys.executable, "-m", "pme_airflow.cli", "plan", "dags/placements.yaml", cwd=tmp_path, **installed)
    assert planned.stdout == "There are no placements: nothing is published.\n", planned.stderr


def test_the_demo_runs_from_the_installed_wheel(installed: dict[str, str], tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "pme_airflow.cli", "demo", cwd=tmp_path, TMPDIR=str(tmp_path), **installed)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "5 links live, 5 pages published." in done.stdout


def test_constraints_pin_what_is_installed_by_name_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.match(r"[a-z0-9][a-z0-9.-]*==[\w.+!-]+( ;.*)?$", line)] == []
