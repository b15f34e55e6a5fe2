"""Write the shipped DAGs and an example of ``placements.yaml`` into a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pme_airflow.errors import PMEInputError
from pme_airflow.shipped_files import shipped

__all__ = ["DagFolder", "write_dag_folder"]

#: The file that belongs to the user as soon as it is written.
_PLACEMENTS = "placements.yaml"


@dataclass(frozen=True)
class DagFolder:
    """What was written into a folder.

    :param written: the names of files that were new, or replaced.
    :param unchanged: the names of files that were there already, as they are shipped.
    :param kept: the names of files that differ and were left alone.
    """

    path: Path
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]


def write_dag_folder(path: Path, *, force: bool = False) -> DagFolder:
    """Write the four DAGs and ``placements.yaml``.

    :param path: the folder; it is made if it is not there.
    :param force: whether DAG files that differ are replaced. A ``placements.yaml`` that differs is always kept.
    :raises PMEInputError: if a DAG file differs and ``force`` is not given, before anything is written; or if the
        folder cannot be written.
    """
    sources = sorted([*shipped("dags").glob("*.py"), shipped(f"dags/{_PLACEMENTS}")])
    try:
        same = [source.name for source in sources if _is_same(source, path)]
        differing = [source.name for source in sources if source.name not in same and (path / source.name).exists()]
        kept = tuple(name for name in differing if name == _PLACEMENTS)
        refused = [name for name in differing if name not in kept and not force]
        if not refused:
            written = tuple(source.name for source in sources if source.name not in (*same, *kept))
            path.mkdir(parents=True, exist_ok=True)
            _write_all(path, written)
            return DagFolder(path, written, tuple(same), kept)
        problem = (
            f"{', '.join(refused)} in {path} differ from the files of this version. Give --force to replace them; "
            f"{_PLACEMENTS} is kept."
        )
    except OSError as error:
        problem = f"{path} cannot be written ({error.strerror}). Name a folder that you may write."
    raise PMEInputError(problem)


def _write_all(folder: Path, names: Sequence[str]) -> None:
    """Write files beforehand under other names, and only then put each in its place: none is ever half written."""
    staged = {name: folder / f".{name}.{os.getpid()}.new" for name in names}
    try:
        for name, path in staged.items():
            path.write_bytes(shipped(f"dags/{name}").read_bytes())
        for name, path in staged.items():
            path.replace(folder / name)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def _is_same(source: Path, folder: Path) -> bool:
    there = folder / source.name
    return there.is_file() and there.read_bytes() == source.read_bytes()
