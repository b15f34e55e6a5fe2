"""What to install where a part of the package needs more than the package itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from pme_airflow.errors import PMEInputError

__all__ = [
    "EXTRAS",
    "install_command",
    "missing_for_store",
    "missing_module",
    "needs_extra",
    "require_extra",
    "require_store",
]

#: The modules that each extra of the package brings, by the name of the extra.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "slack": ("airflow.providers.slack", "slack_sdk"),
    "s3": ("airflow.providers.amazon", "s3fs"),
    "postgres": ("airflow.providers.postgres",),
    "mysql": ("pymysql",),
    "scan": ("hyperscan",),
}
_S3 = ("s3", "s3a", "s3n")
#: What other stores need: their modules, and the packages that bring them.
_GOOGLE = (("airflow.providers.google", "gcsfs"), "apache-airflow-providers-google gcsfs")
_AZURE = (("airflow.providers.microsoft.azure", "adlfs"), "apache-airflow-providers-microsoft-azure adlfs")
_STORES: Mapping[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(_S3, (EXTRAS["s3"], "'pme-airflow[s3]'")),
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), _AZURE),
}


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'pme-airflow[{extra}]'"


def missing_module(extra: str) -> str:
    """Return the first module of an extra that is not installed; empty if all are. Nothing is loaded."""
    return _first_missing(EXTRAS[extra])


def missing_for_store(url: str) -> str:
    """Return what a store's URL needs and is not installed, as a sentence; empty for a path, or if all is there."""
    modules, packages = _STORES.get(url.partition("://")[0].lower() if "://" in url else "", ((), ""))
    module = _first_missing(modules)
    return _sentence(module, f"pip install {packages}") if module else ""


def require_extra(extra: str, field: str = "") -> None:
    """Check that an extra is installed.

    :param field: the setting that needs it.
    :raises PMEInputError: if it is not; with the command that installs it.
    """
    module = missing_module(extra)
    if module:
        raise PMEInputError(_sentence(module, install_command(extra)), field)


def require_store(url: object, field: str) -> None:
    """Check that what a store's URL needs is installed; a template, or what is no text, passes.

    :param field: the setting that holds the URL.
    :raises PMEInputError: if it is not; with the command that installs it.
    """
    missing = missing_for_store(url) if isinstance(url, str) else ""
    if missing:
        raise PMEInputError(missing, field)


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
        raise PMEInputError(_sentence(missing, install_command(extra)))


def _sentence(module: str, command: str) -> str:
    return f"{module} is not installed: run {command} wherever DAGs are parsed and tasks run."


def _first_missing(modules: tuple[str, ...]) -> str:
    return next((module for module in modules if not _is_installed(module)), "")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is not installed, or somebody took it out of sys.modules
        return False
