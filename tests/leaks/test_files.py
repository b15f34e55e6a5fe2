"""The files of a path are listed, each once, and everything there that cannot be searched is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pme_airflow.leaks.files import Source, Unread, files_under
from tests.support.leaked import TOKEN
from tests.support.unprivileged import public_folder, unprivileged


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as made:
        yield made


def sources(place: Path | str) -> list[str]:
    return [found.path for found in files_under(str(place)) if isinstance(found, Source)]


def unread(place: Path | str) -> dict[str, str]:
    return {found.path: found.reason for found in files_under(str(place)) if isinstance(found, Unread)}


def read(source: Source | Unread) -> bytes:
    assert isinstance(source, Source)
    with source.open() as stream:
        return stream.read()


def test_files_below_a_folder_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("deep/er/x", "deep/note", "b", "a", "ö", ".hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sources(tmp_path) == [str(tmp_path / name) for name in (".hidden", "a", "b", "ö", "deep/note", "deep/er/x")]
    assert unread(tmp_path) == {}


def test_a_single_file_is_listed_and_opens(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"content")
    (source,) = files_under(str(tmp_path / "note"))
    assert read(source) == b"content"


def test_links_inside_are_followed_to_files_and_not_into_loops(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "note").write_text("x")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    (tmp_path / "file").symlink_to(tmp_path / "deep" / "note")
    assert sources(tmp_path) == [str(tmp_path / "file"), str(tmp_path / "deep" / "note")]
    assert unread(tmp_path) == {}


def test_a_link_to_a_folder_outside_is_named(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    assert "folder outside" in unread(tmp_path / "tree")[str(tmp_path / "tree" / "link")]
    assert unread(tmp_path) == {}
    (tmp_path / "root").symlink_to(tmp_path / "tree")
    assert list(unread(tmp_path / "root")) == [str(tmp_path / "root" / "link")]


def test_a_link_that_leads_nowhere_or_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = unread(tmp_path)
    assert set(found) == {str(tmp_path / "gone"), str(tmp_path / "self")}
    assert all("symbolic link whose target does not exist" in reason for reason in found.values())
    assert "cannot be read" in unread(tmp_path / "gone")[str(tmp_path / "gone")]


def test_pipes_sockets_and_devices_are_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        found = {Path(path).name: reason for path, reason in unread(tmp_path).items()}
    assert found.keys() == {"pipe", "null", "socket"}
    assert "is a pipe" in found["pipe"]
    assert "is a device" in found["null"]
    assert "is a socket" in found["socket"]
    assert sources(tmp_path) == []
    assert unread(tmp_path / "pipe").keys() == {str(tmp_path / "pipe")}


def test_a_folder_that_may_not_be_listed_is_named_and_the_others_are_searched(folder: Path) -> None:
    for name in ("a", "locked", "z"):
        (folder / name).mkdir()
        (folder / name / "note").write_text("x")
    (folder / "locked").chmod(0)
    with unprivileged():
        assert sources(folder) == [str(folder / "a" / "note"), str(folder / "z" / "note")]
        assert "Permission denied" in unread(folder)[str(folder / "locked")]
        assert "Permission denied" in unread(folder / "locked")[str(folder / "locked")]


def test_a_folder_that_may_be_listed_and_not_entered_has_unread_files(folder: Path) -> None:
    (folder / "listed").mkdir()
    (folder / "listed" / "note").write_text("x")
    (folder / "listed").chmod(0o744)
    with unprivileged():
        assert "cannot be read" in unread(folder)[str(folder / "listed" / "note")]


def test_a_folder_that_may_be_listed_and_not_entered_does_not_end_the_search_for_repositories(folder: Path) -> None:
    for name in ("listed", "z"):
        (folder / name).mkdir()
        (folder / name / "note").write_text("x")
    (folder / "listed").chmod(0o744)
    with unprivileged():
        found = list(files_under(str(folder), lambda path: iter([Unread(path, "is a repository")])))
    assert [item.path for item in found] == [str(folder / "listed" / "note"), str(folder / "z" / "note")]


def test_a_name_that_is_no_text_is_searched_and_printed_on_one_line(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe\n\x1b[31m"
    with open(name, "wb") as out:
        out.write(b"content")
    (source,) = files_under(str(tmp_path))
    assert read(source) == b"content"
    shown = str(Unread(source.path, "x"))
    assert shown.endswith("\\udcff\\udcfe\\n\\x1b[31m: x")


@pytest.mark.parametrize("place", ["nowhere", "", "note/below", "a\0b", "x" * 5000])
def test_a_path_with_nothing_there_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "note").write_text("x")
    path = f"{tmp_path}/{place}" if place else ""
    (found,) = files_under(path)
    assert isinstance(found, Unread)
    assert found.permanent
    assert found.path == path


def test_a_file_that_became_a_pipe_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("x")
    (source,) = files_under(str(tmp_path))
    (tmp_path / "note").unlink()
    os.mkfifo(tmp_path / "note")
    assert read(source) == b""


def test_an_unread_part_is_named_without_the_token_in_its_name() -> None:
    shown = str(Unread(f"/data/{TOKEN}.html", "is a device"))
    assert TOKEN not in shown
    assert shown.startswith("/data/")


def test_what_is_no_file_needs_a_person(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / "pipe")
    assert list(files_under(path)) == [
        Unread(path, "is a pipe. Pipe it into standard input, and scan -", permanent=True)
    ]
    assert not Unread(path, "cannot be read").permanent


def test_a_source_is_printed_by_its_path_alone() -> None:
    assert repr(Source("x", Path(os.devnull).open)) == "Source(path='x')"  # type: ignore[arg-type]
