"""Which Airflow and Python the package runs with, so that another one is named rather than failing somewhere inside."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pme_airflow import __version__

__all__ = [
    "NEWEST_PYTHON",
    "airflow_problem",
    "check_airflow",
    "installation_problem",
    "python_problem",
    "warn_of_installation",
]

log = logging.getLogger(__name__)

_OLDEST, _TOO_NEW = (3, 1), (4,)
#: The newest Python that the package is tried with. Airflow's own bound lets pip install it on a newer one.
NEWEST_PYTHON = (3, 14)


def check_airflow() -> None:
    """Check the version of Airflow that is installed.

    :raises ImportError: if the package does not run with it.
    """
    problem = airflow_problem()
    if problem:
        raise ImportError(problem)


def warn_of_installation() -> None:
    """Log a warning if Python imports another copy of the package than the installed one, or is itself too new."""
    for problem in filter(None, (installation_problem(), python_problem())):
        log.warning("%s", problem)


def python_problem() -> str:
    """Return that this Python is newer than those that the package is tried with; empty if it is not."""
    found, newest = sys.version_info[:2], ".".join(map(str, NEWEST_PYTHON))
    if found <= NEWEST_PYTHON:
        return ""
    return (
        f"pme-airflow {__version__} is tried with Python 3.10 to {newest}; this is Python {found[0]}.{found[1]}. Where "
        f"something fails, install it with one of those: python{newest} -m pip install pme-airflow, or upgrade it."
    )


def airflow_problem() -> str:
    """Return why the package does not run with the Airflow that is installed, and what to install; empty if it does."""
    found = _version_of("apache-airflow-core") or _version_of("apache-airflow")
    if found and _OLDEST <= _numbers(found) < _TOO_NEW:
        return ""
    return (
        f"pme-airflow {__version__} needs Apache Airflow 3.1 or newer, below 4; {found or 'none'} is installed. Run "
        "pip install 'apache-airflow>=3.1,<4' with Airflow's constraints, or install a pme-airflow made for this one."
    )


def installation_problem() -> str:
    """Return that Python imports another copy than the one that was installed; empty if it is the same version."""
    found = _version_of("pme-airflow")
    if found in ("", __version__):
        return ""
    return (
        f"pme-airflow {found} is installed, but Python imports {__version__} from {Path(__file__).parent}. Remove that "
        "copy, or leave its folder out of PYTHONPATH; where it is a checkout, run pip install -e . there again."
    )


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _numbers(found: str) -> tuple[int, ...]:
    """Return the first two numbers of a version: 3.2 of ``3.2.0rc1``."""
    return tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
