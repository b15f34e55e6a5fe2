"""Files on this machine: whole, readable as the umask says, and never through another user's symbolic link."""

from __future__ import annotations

import os
import stat
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.targets import local_files
from pme_airflow.targets.local_files import LocalFiles

OTHER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that anybody may write to, as ``/tmp``."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture(params=[0o022, 0o077, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_file_is_written_and_read(root: Path) -> None:
    files = LocalFiles(str(root))
    assert files.write("a/link.json", "ünï 1") is False
    assert files.write("a/link.json", "ünï 2") is False
    assert (root / "a" / "link.json").read_text() == "ünï 2"
    assert files.read("a/link.json", 100) == "ünï 2"
    assert files.read("a/link.json", 3) == "ün"
    assert names(root) == ["a", "a/link.json"]


def test_umask_decides_who_may_read(root: Path, umask: int) -> None:
    LocalFiles(str(root)).write("a/link.json", "text")
    assert stat.S_IMODE((root / "a" / "link.json").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o777 & ~umask


def test_missing_file_is_read_as_none_and_deleted_without_an_error(root: Path) -> None:
    files = LocalFiles(str(root))
    assert files.read("a/link.json", 10) is None
    assert files.delete("a/link.json") is False
    assert not root.exists()


def test_deleted_file_takes_its_empty_folder_with_it_and_no_other(root: Path) -> None:
    files = LocalFiles(str(root))
    for path in ("a/link.json", "a/embed.html", "index.html"):
        files.write(path, "text")
    files.delete("a/link.json")
    assert names(root) == ["a", "a/embed.html", "index.html"]
    files.delete("a/embed.html")
    files.delete("index.html")
    assert names(root) == []
    assert root.exists()


def test_draft_of_a_killed_task_goes_with_the_next_write_and_with_the_file(root: Path) -> None:
    files = LocalFiles(str(root))
    files.write("a/link.json", "text")
    for name in (".link.json.0123.pme-tmp", ".embed.html.0123.pme-tmp", ".link.json.0123"):
        (root / "a" / name).write_text("a link")
    files.write("a/link.json", "text")
    assert names(root / "a") == [".embed.html.0123.pme-tmp", ".link.json.0123", "link.json"]
    (root / "a" / ".link.json.4567.pme-tmp").write_text("a link")
    files.delete("a/link.json")
    assert names(root / "a") == [".embed.html.0123.pme-tmp", ".link.json.0123"]


def test_reader_sees_the_old_or_the_new_file_whole(root: Path) -> None:
    files, texts = LocalFiles(str(root)), [letter * 100_000 for letter in "ab"]
    files.write("link.json", texts[0])
    stop = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add((root / "link.json").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(100):
        files.write("link.json", texts[turn % 2])
    stop.set()
    reader.join()
    assert seen <= set(texts)


def test_failed_write_leaves_the_old_file_and_no_draft(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = LocalFiles(str(root))
    files.write("link.json", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write("link.json", "new")
    assert (root / "link.json").read_text() == "old"
    assert names(root) == ["link.json"]


def test_a_file_is_on_the_disk_whole_before_it_has_its_name_and_its_name_is_then(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        found = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(found.st_mode) else f"file of {found.st_size} bytes")
        fsync(descriptor)

    def replaced(*names: Any, **folders: Any) -> None:
        done.append("name")
        replace(*names, **folders)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    LocalFiles(str(root)).write("link.json", "ünï")
    assert done == ["file of 5 bytes", "name", "folder"]


def test_a_file_is_written_as_utf8_whatever_the_locale(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ascii_open(*args: Any, **options: Any) -> Any:
        return open(*args, **{"encoding": "ascii", **options})

    monkeypatch.setattr(local_files, "open", ascii_open, raising=False)
    LocalFiles(str(root)).write("link.json", "ünï")
    assert (root / "link.json").read_bytes() == "ünï".encode()


def test_a_draft_is_a_file_of_its_own(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who knew its name would otherwise have the link written to another file."""
    victim = tmp_path / "victim.json"
    victim.write_text("precious")
    root.mkdir()
    monkeypatch.setattr(uuid, "uuid4", lambda: SimpleNamespace(hex="0123"))
    monkeypatch.setattr(
        local_files, "_remove_drafts", lambda folder, name: (root / f".{name}.0123.pme-tmp").symlink_to(victim)
    )
    with pytest.raises(FileExistsError):
        LocalFiles(str(root)).write("link.json", "text")
    assert victim.read_text() == "precious"


def test_every_trace_of_a_file_goes_with_the_folders_that_were_made_for_it(tmp_path: Path) -> None:
    files = LocalFiles(str(tmp_path / "a" / "b"))
    files.write("check.json", "text")
    files.write("check.json", "again")
    assert files.remove_trace("check.json") is False
    assert names(tmp_path) == []
    files = LocalFiles(str(tmp_path / "a" / "b"))
    files.write("check.json", "text")
    (tmp_path / "a" / "other").write_text("x")
    files.remove_trace("check.json")
    assert names(tmp_path) == ["a", "a/other"]


def test_folders_that_were_there_stay_although_they_are_empty(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for root in (tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        files = LocalFiles(str(root))
        files.write("check.json", "text")
        files.remove_trace("check.json")
        assert names(tmp_path) == ["a", "a/b"]
    LocalFiles(str(tmp_path / "a" / "b")).remove_trace("check.json")
    assert names(tmp_path) == ["a", "a/b"]


def test_many_writes_leave_no_descriptor_open(root: Path) -> None:
    files = LocalFiles(str(root))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        files.write("a/link.json", "text")
        files.read("a/link.json", 10)
        files.signatures(["a/link.json", "b/link.json"])
        files.delete("a/link.json")
    assert len(os.listdir("/proc/self/fd")) == before


@as_root
def test_many_refusals_leave_no_descriptor_open(shared: Path) -> None:
    for name in ("folder", "link"):
        (shared / name).mkdir() if name == "folder" else (shared / name).symlink_to("folder")
        os.lchown(shared / name, OTHER, OTHER)
    (shared / "file").write_text("x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        for name in ("folder", "link"):
            with pytest.raises(SlotError):
                LocalFiles(str(shared / name)).read("link.json", 10)
        with pytest.raises(NotADirectoryError):
            LocalFiles(str(shared / "file")).read("link.json", 10)
        LocalFiles(str(shared / "missing")).delete("link.json")
    assert len(os.listdir("/proc/self/fd")) == before


# -------------------------------------------------------------- other users' links


@as_root
def test_folder_that_is_another_users_link_is_refused(shared: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    link = shared / "embeds"
    link.symlink_to(victim)
    os.lchown(link, OTHER, OTHER)
    files = LocalFiles(str(link))
    with pytest.raises(SlotError, match=r"embeds is a symbolic link of another user \(uid 12345\)") as failure:
        files.write("a/link.json", "text")
    assert failure.value.permanent
    assert names(victim) == []


@as_root
@pytest.mark.parametrize("operation", ["write", "read", "delete", "signatures"])
def test_every_operation_refuses_another_users_link(shared: Path, tmp_path: Path, operation: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "link.json").write_text("precious")
    (shared / "out").mkdir()
    (shared / "out").chmod(0o777)
    link = shared / "out" / "a"
    link.symlink_to(victim)
    os.lchown(link, OTHER, OTHER)
    files = LocalFiles(str(shared / "out"))
    calls = {
        "write": lambda: files.write("a/link.json", "text"),
        "read": lambda: files.read("a/link.json", 10),
        "delete": lambda: files.delete("a/link.json"),
        "signatures": lambda: files.signatures(["a/link.json"]),
    }
    with pytest.raises(SlotError, match="another user"):
        calls[operation]()
    assert (victim / "link.json").read_text() == "precious"


@as_root
def test_folder_of_another_user_in_a_shared_one_is_refused(shared: Path) -> None:
    folder = shared / "embeds"
    folder.mkdir()
    os.chown(folder, OTHER, OTHER)
    with pytest.raises(SlotError, match="embeds is a folder of another user"):
        LocalFiles(str(folder)).write("link.json", "text")
    with pytest.raises(SlotError, match="embeds is a folder of another user"):
        LocalFiles(str(folder / "below")).write("link.json", "text")


@as_root
@pytest.mark.parametrize("uid", [1, OTHER])
def test_folder_of_any_user_but_this_one_and_root_is_refused(shared: Path, uid: int) -> None:
    folder = shared / "embeds"
    folder.mkdir()
    os.chown(folder, uid, uid)
    with pytest.raises(SlotError, match=rf"another user \(uid {uid}\) in a folder that anybody may write to"):
        LocalFiles(str(folder)).write("link.json", "text")


@as_root
def test_link_of_ones_own_may_lead_up_through_a_folder_of_another_user(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "shared").mkdir(parents=True)
    (outer / "shared").chmod(0o1777)
    os.chown(outer, OTHER, OTHER)
    (outer / "shared" / "embeds").symlink_to("../data")
    LocalFiles(str(outer / "shared" / "embeds")).write("link.json", "text")
    assert (outer / "data" / "link.json").read_text() == "text"


def test_folder_that_becomes_a_link_after_its_check_is_not_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    root.symlink_to(victim)
    monkeypatch.setattr(local_files, "_link_in", lambda *_: None)
    with pytest.raises(OSError, match="Not a directory"):
        LocalFiles(str(root)).write("link.json", "text")
    assert names(victim) == []


@as_root
def test_folder_of_another_user_elsewhere_is_accepted(tmp_path: Path) -> None:
    """Root may publish into a folder of the web server's user: nobody else can exchange it."""
    folder = tmp_path / "embeds"
    folder.mkdir()
    os.chown(folder, OTHER, OTHER)
    LocalFiles(str(folder)).write("link.json", "text")
    assert (folder / "link.json").exists()


def test_link_of_ones_own_is_followed(shared: Path, tmp_path: Path) -> None:
    data = tmp_path / "data" / "embeds"
    data.mkdir(parents=True)
    (shared / "absolute").symlink_to(data)
    (shared / "relative").symlink_to("../data/../data/embeds")
    for name in ("absolute", "relative"):
        LocalFiles(str(shared / name)).write(f"{name}/link.json", name)
        assert (data / name / "link.json").read_text() == name


def test_links_that_lead_nowhere_but_to_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SlotError, match="more than 40 symbolic links"):
        LocalFiles(str(tmp_path / "a")).write("link.json", "text")


@pytest.mark.parametrize(("links", "fits"), [(40, True), (41, False)])
def test_a_path_may_have_as_many_links_as_linux_follows(tmp_path: Path, links: int, fits: bool) -> None:
    (tmp_path / "end").mkdir()
    for number in range(links):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}" if number + 1 < links else "end")
    files = LocalFiles(str(tmp_path / "l0"))
    if fits:
        files.write("link.json", "text")
        assert (tmp_path / "end" / "link.json").exists()
        return
    with pytest.raises(SlotError, match="more than 40 symbolic links"):
        files.write("link.json", "text")


def test_file_that_is_a_link_is_replaced_and_not_followed(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim.json"
    victim.write_text("precious")
    root.mkdir()
    (root / "link.json").symlink_to(victim)
    files = LocalFiles(str(root))
    with pytest.raises(OSError, match="symbolic links"):
        files.read("link.json", 10)
    files.write("link.json", "text")
    assert victim.read_text() == "precious"
    assert not (root / "link.json").is_symlink()


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_not_read(root: Path, kind: str) -> None:
    root.mkdir()
    os.mkfifo(root / "link.json") if kind == "fifo" else (root / "link.json").mkdir()
    assert LocalFiles(str(root)).read("link.json", 10) is None


# ----------------------------------------------------------------------- changes


def test_signature_changes_with_the_file(root: Path) -> None:
    files = LocalFiles(str(root))
    files.write("a/link.json", "text")
    (first,) = files.signatures(["a/link.json"]).values()
    assert files.signatures(["a/link.json"]) == {"a/link.json": first}
    files.write("a/link.json", "text")
    (second,) = files.signatures(["a/link.json"]).values()
    assert first != second
    (root / "a" / "link.json").write_text("another text")
    assert files.signatures(["a/link.json"]) != {"a/link.json": second}


def test_signature_of_what_is_not_there_is_none(root: Path) -> None:
    files = LocalFiles(str(root))
    assert files.signatures(["a/link.json"]) == {"a/link.json": None}
    root.mkdir()
    (root / "a").write_text("a file in the folder's place")
    assert files.signatures(["a/link.json"]) == {"a/link.json": None}
