"""The files of a path are listed, each once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.files import Unread, files_under


def test_files_below_a_folder_are_listed_in_order_and_loops_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    for name in ("deep/note", "b", "a"):
        (tmp_path / name).write_text("x")
    assert [source.path for source in files_under(str(tmp_path))] == [
        str(tmp_path / name) for name in ("a", "b", "deep/note")
    ]


def test_a_single_file_is_listed_and_opens(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"content")
    (source,) = files_under(str(tmp_path / "note"))
    assert not isinstance(source, Unread)
    with source.open() as stream:
        assert stream.read() == b"content"


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not any(
        source.path.endswith("pipe") for source in files_under(str(tmp_path)) if not isinstance(source, Unread)
    )


def test_a_path_with_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PMEInputError, match="nothing at"):
        list(files_under(str(tmp_path / "nowhere")))
