"""Which Airflow the package runs with, so that another one is named rather than failing somewhere inside."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pme_airflow import __version__

__all__ = ["airflow_problem", "check_airflow", "installation_problem", "warn_of_another_copy"]

log = logging.getLogger(__name__)

_OLDEST, _TOO_NEW = (3, 1), (4,)


def check_airflow() -> None:
    """Check the version of Airflow that is installed.

    :raises ImportError: if the package does not run with it.
    """
    problem = airflow_problem()
    if problem:
        raise ImportError(problem)


def warn_of_another_copy() -> None:
    """Log a warning if Python imports another copy of the package than the one that was installed."""
    problem = installation_problem()
    if problem:
        log.warning("%s", problem)


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
