"""Packs the WordPress plugin pme-embed into the ZIP file that WordPress installs."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from pme_airflow.shipped_files import shipped
from pme_airflow.targets.pages import source

__all__ = ["plugin_files", "plugin_zip"]

_NAME = "pme-embed"
#: The script that the plugin and the package's own pages share.
_SCRIPT = "pme-embed.js"
#: The earliest time that a ZIP file can name. With it, the same files always give the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PERMISSIONS = 0o100644 << 16


def plugin_files() -> dict[str, bytes]:
    """Return the plugin's files by their paths in the ZIP file, in order."""
    folder = shipped(f"extras/wordpress/{_NAME}")
    found = {f"{_NAME}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in _files_in(folder)}
    found[f"{_NAME}/assets/{_SCRIPT}"] = source(_SCRIPT).encode()
    return dict(sorted(found.items()))


def plugin_zip() -> bytes:
    """Return the ZIP file. Nothing in it is compressed, since the outcome would depend on the version of zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in plugin_files().items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = _UNIX, _PERMISSIONS
            archive.writestr(entry, content)
    return buffer.getvalue()


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
