"""Open paths in object storage, after a check that their addresses are encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import has_fs

from pme_airflow.addresses import parse_http_url
from pme_airflow.errors import PMEInputError
from pme_airflow.extras import needs_extra, require_store
from pme_airflow.hooks.connection_lookup import find_connection
from pme_airflow.hooks.http import checked_address
from pme_airflow.printable import printable
from pme_airflow.targets.storage_names import storage_endpoint

__all__ = ["STORAGE_OPTIONS", "storage_root"]

#: The key in a connection's Extra with the options that files in S3 are written with.
STORAGE_OPTIONS = "storage_options"
_LOCAL = frozenset({"file", "local", ""})
_S3 = frozenset({"s3", "s3a", "s3n"})
#: Stores that send links, and often a password, in clear.
_CLEAR = frozenset({"ftp", "http", "webdav"})


def storage_root(path: str, conn_id: str | None = None) -> tuple[ObjectStoragePath, Mapping[str, Any]]:
    """Return a path in object storage, and the ``storage_options`` of its connection.

    :raises PMEInputError: if the connection is not defined, Airflow has no such store, the store's address is plain
        http to another machine, or a library that the store needs is not installed.
    """
    require_store(path, "path")
    _check_scheme(path)
    root = ObjectStoragePath(path, conn_id=conn_id)
    extra = _extra_of(root.conn_id)
    if root.protocol in _LOCAL:
        return root, {}
    with needs_extra("s3") if root.protocol in _S3 else nullcontext():
        endpoint = storage_endpoint(root.fs)
    if parse_http_url(endpoint) is not None:
        checked_address(endpoint, f"connection {root.conn_id or 'of the environment'}, endpoint", root.conn_id, extra)
    options = extra.get(STORAGE_OPTIONS) or {}
    if not isinstance(options, Mapping):
        raise PMEInputError(f"connection {root.conn_id}, Extra: {STORAGE_OPTIONS} must be a mapping.")
    return root, options


def _check_scheme(path: str) -> None:
    scheme, separator, _ = path.partition("://")
    if scheme in _CLEAR:
        raise PMEInputError(f"path: {scheme} sends links in clear. Use file, s3, gs or another encrypted store.")
    if separator and not has_fs(scheme):
        raise PMEInputError(
            f"path: this Airflow knows no store {printable(scheme, 20)}://. Use file, s3, gs or abfs, or install the "
            "provider that brings it."
        )


def _extra_of(conn_id: str | None) -> Mapping[str, Any]:
    """Return the Extra of a connection.

    :raises PMEInputError: if it is not found or cannot be read: the store would then be used without credentials.
    """
    if conn_id is None:
        return {}
    connection = find_connection(conn_id)
    extra: Mapping[str, Any] = connection.extra_dejson
    return extra
