"""What to install where a part of the package needs more than the package itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pme_airflow.errors import PMEInputError

__all__ = ["needs_extra"]


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn an import that fails in the block into an error that names the extra to install.

    :raises PMEInputError: instead of the ``ImportError``.
    """
    missing = ""
    try:
        yield
    except ImportError as error:
        missing = error.name or "a library"
    if missing:
        raise PMEInputError(f"{missing} is not installed: run pip install 'pme-airflow[{extra}]' on every worker.")
