"""Install the wheel with each supported Airflow and Python, and check it there: ``python -m tests.support.matrix``.

Airflow's own constraints files are not on the package index, so each cell is resolved here: the newest releases of that
day, with a pin where the newest one does not work with this Airflow, or the lowest that pyproject.toml allows.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pme_airflow.dev.playground.home import ROOT

__all__ = ["CELLS", "Cell", "interpreter", "main", "python_versions"]

UV = Path(sys.executable).parent / "uv"
SCRIPT = ROOT / "tests" / "support" / "matrix_cell.py"
#: Airflow 3.2's API server does not start with newer releases of these. 3.2.2 wants starlette 1, 3.2.1 an older one.
AIRFLOW_321 = ("pydantic==2.12.5", "cadwyn==6.1.1", "fastapi==0.129.2", "starlette==0.52.1")
AIRFLOW_322 = (*AIRFLOW_321[:2], "fastapi==0.136.1")
EXTRAS = "slack,s3,postgres,mysql"


@dataclass(frozen=True)
class Cell:
    """An Airflow and a Python.

    :param airflow: the requirement of Airflow, ``==3.1.8`` for example.
    :param pins: further requirements, each with the reason in this module.
    :param lowest: whether the lowest version of each direct dependency is taken.
    """

    name: str
    airflow: str
    python: str
    pins: tuple[str, ...] = ()
    lowest: bool = False


CELLS = (
    Cell("airflow-3.1-python-3.10", "==3.1.8", "3.10"),
    Cell("airflow-3.1-python-3.12", "==3.1.8", "3.12"),
    Cell("airflow-3.1-python-3.13", "==3.1.8", "3.13"),
    Cell("airflow-3.2-python-3.11", "==3.2.2", "3.11", AIRFLOW_322),
    Cell("airflow-3.2-python-3.13", "==3.2.1", "3.13", AIRFLOW_321),
    Cell("airflow-3.3-python-3.10", "==3.3.*", "3.10"),
    Cell("airflow-3.3-python-3.12", "==3.3.*", "3.12"),
    Cell("newest-python-3.13", "", "3.13"),
    Cell("newest-python-3.14", "", "3.14"),
    Cell("lowest-python-3.10", "==3.1.8", "3.10", lowest=True),
    Cell("lowest-python-3.12", "==3.1.8", "3.12", lowest=True),
)
#: The cells of each continuous run: the oldest Airflow, the one that needs pins, and the lowest bounds.
FEW = ("airflow-3.1-python-3.12", "airflow-3.2-python-3.13", "lowest-python-3.10")


def python_versions() -> list[Path]:
    """Return the interpreters that pyenv has, the newest last."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    return sorted(root.glob("versions/3.*/bin/python"), key=lambda path: _numbers(path.parts[-3]))


def interpreter(version: str, candidates: Sequence[Path] | None = None) -> Path | None:
    """Return an interpreter of a version: pyenv's newest one, or else the one of that name on the path."""
    for path in reversed(python_versions() if candidates is None else candidates):
        if path.parts[-3].startswith(f"{version}."):
            return path
    program = f"python{version}"
    if shutil.which(program) is None:
        return None
    where = "import sys; print(sys.executable)"
    found = subprocess.run([program, "-c", where], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def build_wheel(to: Path) -> Path:
    """Build the wheel of this checkout."""
    options = ("--wheel", "--no-build-isolation", "--python", sys.executable, "-o", to)
    subprocess.run([UV, "build", "-q", *options, ROOT], check=True)
    return next(to.glob("*.whl"))


def run_cell(cell: Cell, wheel: Path, folder: Path) -> str:
    """Install the wheel as a cell wants it and check it; return ``good``, or what went wrong."""
    python = interpreter(cell.python)
    if python is None:
        return "left out: there is no such Python here"
    environment = folder / cell.name
    subprocess.run([UV, "venv", "-q", "--python", python, environment], check=True)
    program = environment / "bin" / "python"
    install = (UV, "pip", "install", "-q", "--python", program)
    if cell.lowest:  # what is direct is read from pyproject.toml: of a wheel, the wheel alone would be
        extras = [option for extra in EXTRAS.split(",") for option in ("--extra", extra)]
        direct = ("--resolution", "lowest-direct", "-r", ROOT / "pyproject.toml", *extras)
        if subprocess.run([*install, *direct, f"apache-airflow{cell.airflow}"], check=False).returncode:
            return "FAILED: the lowest versions cannot be installed"
    requirements = [f"pme-airflow[{EXTRAS}] @ {wheel.as_uri()}", f"apache-airflow{cell.airflow}", *cell.pins]
    if subprocess.run([*install, *requirements], check=False).returncode:
        return "FAILED: cannot be installed"
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PME_", "PYTHON"))}
    checked = subprocess.run([program, SCRIPT], env=env, cwd=folder, capture_output=True, text=True, check=False)
    installed = subprocess.run(
        [UV, "pip", "freeze", "--python", program], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    print(f"   {', '.join(re.findall(r'^(?:apache-airflow|sqlalchemy|pydantic)==.*', installed, re.M))}", flush=True)
    if checked.returncode:
        print(checked.stdout[-6000:], checked.stderr[-3000:], flush=True)
        return "FAILED"
    return "good"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cells; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"all of them if none is named; few: {', '.join(FEW)}")
    names = parser.parse_args(arguments).cells
    wanted = FEW if names == ["few"] else tuple(names) or tuple(cell.name for cell in CELLS)
    unknown = set(wanted) - {cell.name for cell in CELLS}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: the cells are {', '.join(cell.name for cell in CELLS)}")
    results = {}
    with tempfile.TemporaryDirectory(prefix="pme-matrix-") as made:
        wheel = build_wheel(Path(made) / "dist")
        for cell in (cell for cell in CELLS if cell.name in wanted):
            start = time.monotonic()
            results[cell.name] = run_cell(cell, wheel, Path(made))
            print(f"{cell.name}: {results[cell.name]} ({time.monotonic() - start:.0f} s)", flush=True)
    return 1 if any(result.startswith("FAILED") for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
