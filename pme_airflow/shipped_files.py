"""The files that are shipped in addition to the code: the DAGs, the rules for scanners, the WordPress plugin."""

from __future__ import annotations

from pathlib import Path

from pme_airflow.errors import PMEInputError

__all__ = ["shipped"]

_PACKAGE = Path(__file__).resolve().parent
#: Where a wheel has them; a checkout has them next to the package.
_INSTALLED = _PACKAGE / "share"


def shipped(name: str) -> Path:
    """Return a file or folder by its path in the repository, ``dags`` for example.

    :raises PMEInputError: if it is not there.
    """
    path = (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name
    if not path.exists():
        raise PMEInputError(f"{path} is missing. Install pme-airflow again: pip install --force-reinstall pme-airflow.")
    return path
