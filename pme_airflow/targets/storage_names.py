"""Name places in object storage: the same name for the same place, whichever connection is used."""

from __future__ import annotations

import posixpath
import re
from typing import Any

__all__ = ["storage_endpoint", "storage_name"]

_SCHEMES = {"": "file", "local": "file", "s3a": "s3", "s3n": "s3", "gcs": "gs"}
#: The options of file systems that contain the address of their store, if that is not the default.
_ENDPOINTS = ("endpoint_url", "_endpoint", "account_url", "account_name", "host")
#: S3 of AWS itself: bucket names are unique among all regions of a partition.
_AWS = re.compile(r"https://(?:[a-z0-9-]+\.)*s3[a-z0-9.-]*\.amazonaws\.com\Z")


def storage_name(root: Any) -> str:
    """Return the name of a root in object storage: its address without a connection, and the store's own address.

    :param root: an ``ObjectStoragePath``.
    """
    scheme = _SCHEMES.get(root.protocol, root.protocol)
    if scheme == "file":
        return f"file://{posixpath.normpath('/' + root.path.lstrip('/'))}"
    place = f"{scheme}://{root.path.strip('/')}"
    endpoint = storage_endpoint(root.fs)
    return f"{place}?endpoint={endpoint}" if endpoint else place


def storage_endpoint(fs: Any) -> str:
    """Return the address of a file system's store; empty for the usual one of its kind."""
    found = next((str(value) for name in _ENDPOINTS if (value := getattr(fs, name, None))), "")
    if not found and hasattr(fs, "s3"):
        found = str(fs.s3.meta.endpoint_url)  # from the environment or a configuration file, or AWS's own
    return "" if _AWS.match(found) else found.rstrip("/")
