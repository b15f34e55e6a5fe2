"""Links in git history are found: committed and taken out again, rewritten, amended, stashed, packed, staged."""

from __future__ import annotations

import io
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pme_airflow.leaks import git_history
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.files import Source, Unread, files_under
from pme_airflow.leaks.git_history import git_folder, git_sources
from pme_airflow.leaks.stream_search import Hit, search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.repositories import Repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

DAY = 86400
TOKEN = "q7" + "k3t9m2x8b4n6v1c5z0a7s3d"
LINK = f"https://my.matterport.com/show/?m=yyHDFKzPzvN&auth=Bearer+{TOKEN}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work")


def found(sources: object, *tokens: str) -> list[Hit]:
    matcher = TokenMatcher([AccessToken(token) for token in tokens or (TOKEN,)])
    reader = ScanReader(matcher.longest_form_bytes)
    hits = list(search(matcher, reader.chunks(sources)))  # type: ignore[arg-type]
    assert reader.unread == []
    return hits


def history(repository: Repository, since: float | None = None) -> list[Hit]:
    folder = git_folder(str(repository.path))
    assert folder is not None
    return found(git_sources(folder, since))


def recent() -> float:
    return time.time() - 2 * DAY


def test_a_link_taken_out_again_is_found_with_its_commit_and_path(repository: Repository) -> None:
    commit = repository.commit("docs/tour.md", LINK)
    repository.commit("docs/tour.md", "nothing\n")
    (hit,) = history(repository, recent())
    assert hit.path == f"{repository.path}/.git@{commit[:12]}:docs/tour.md"
    assert hit.offset == LINK.index(TOKEN)


def amended(repository: Repository) -> None:
    repository.commit("tour", LINK)
    repository.write("tour", "nothing\n")
    repository.git("commit", "-q", "-a", "--amend", "-m", "better")


def rewritten(repository: Repository) -> None:
    repository.commit("tour", LINK)
    repository.git("reset", "-q", "--hard", "HEAD~1")
    repository.git("reflog", "expire", "--expire=now", "--all")


def stashed(repository: Repository) -> None:
    repository.write("README", LINK)
    repository.git("stash", "-q")


def stashed_untracked(repository: Repository) -> None:
    repository.write("new", LINK)
    repository.git("stash", "-q", "-u")


def packed(repository: Repository) -> None:
    repository.commit("tour", LINK)
    repository.commit("tour", "nothing\n")
    repository.git("gc", "-q")


def unreachable_and_packed(repository: Repository) -> None:
    amended(repository)
    repository.git("repack", "-q", "-a", "-d", "-k")


def staged_and_left(repository: Repository) -> None:
    repository.write("tour", LINK)
    repository.git("add", "tour")
    repository.write("tour", "nothing\n")
    repository.git("add", "tour")


def on_another_branch(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "other")
    repository.commit("tour", LINK)
    repository.git("checkout", "-q", "main")


def in_a_merge(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "side")
    repository.commit("side", "s\n")
    repository.git("checkout", "-q", "main")
    repository.commit("main", "m\n")
    repository.git("merge", "-q", "--no-commit", "side")
    repository.commit("tour", LINK)
    repository.commit("tour", "nothing\n")


def in_a_message(repository: Repository) -> None:
    repository.commit("note", "n\n", f"see {LINK}")


def in_a_tag(repository: Repository) -> None:
    repository.git("tag", "-a", "v1", "-m", f"see {LINK}")


def in_a_note(repository: Repository) -> None:
    repository.git("notes", "add", "-m", LINK, "HEAD")


def in_a_name(repository: Repository) -> None:
    repository.commit(f"{TOKEN}.html", "a page\n")
    repository.git("rm", "-q", f"{TOKEN}.html")
    repository.commit("note", "gone\n")


WAYS: list[Callable[[Repository], None]] = [
    amended, rewritten, stashed, stashed_untracked, packed, unreachable_and_packed, staged_and_left, on_another_branch,
    in_a_merge, in_a_message, in_a_tag, in_a_note, in_a_name,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_link_is_found_wherever_git_keeps_it(repository: Repository, way: Callable[[Repository], None]) -> None:
    assert history(repository, recent()) == []
    way(repository)
    assert {hit.fingerprint for hit in history(repository, recent())} == {fingerprint(AccessToken(TOKEN))}
    assert TOKEN not in (repository.path / "README").read_text()


def test_a_link_in_a_submodule_and_in_a_second_work_tree_is_found(repository: Repository, tmp_path: Path) -> None:
    inner = Repository(tmp_path / "inner")
    inner.commit("tour", LINK)
    inner.commit("tour", "nothing\n")
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "inner")
    repository.commit("note", "n\n")
    assert history(repository, recent()) == []
    folder = git_folder(str(repository.path / "inner"))
    assert folder is not None
    assert "modules" in folder
    assert len(found(git_sources(folder, recent()))) == 1
    everything = files_under(str(repository.path), lambda place: git_sources(place, recent()))
    assert any("modules/inner@" in hit.path for hit in found(everything))
    repository.git("worktree", "add", "-q", str(tmp_path / "second"))
    assert git_folder(str(tmp_path / "second")) == str((repository.path / ".git").resolve())


def below(place: Path) -> Iterator[Source | Unread]:
    return files_under(str(place), lambda folder: git_sources(folder, recent()), git_folder)


def test_the_repository_of_a_linked_work_tree_is_searched_once(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit("tour", LINK)
    repository.commit("tour", "nothing\n")
    for name in ("second", "third"):
        repository.git("worktree", "add", "-q", "-b", name, str(tmp_path / "trees" / name))
    brought = f"{repository.path}/.git@{commit[:12]}:tour"
    for place in (tmp_path / "trees", tmp_path / "trees" / "second", tmp_path):
        assert [found.path for found in below(place)].count(brought) == 1


def test_the_repository_of_a_submodule_alone_is_searched(repository: Repository, tmp_path: Path) -> None:
    inner = Repository(tmp_path / "inner")
    inner.commit("tour", LINK)
    inner.commit("tour", "nothing\n")
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "inner")
    assert [hit.path.partition("@")[0] for hit in found(below(repository.path / "inner"))] == [
        f"{repository.path}/.git/modules/inner"
    ]


@pytest.mark.parametrize("content", [b"nonsense", b"gitdir: /nowhere", b"gitdir: a\0b"])
def test_a_work_tree_whose_repository_is_not_here_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_bytes(content)
    (unread,) = (found for found in below(tmp_path) if isinstance(found, Unread))
    assert unread.path == str(tmp_path / "tree" / ".git")
    assert "leads to no git repository" in unread.reason


def test_a_folder_is_searched_with_the_history_of_repositories_in_it(repository: Repository, tmp_path: Path) -> None:
    repository.commit("tour", LINK)
    repository.commit("tour", "nothing\n")
    bare = tmp_path / "bare.git"
    repository.git("clone", "-q", "--bare", str(repository.path), str(bare))
    hits = found(files_under(str(tmp_path), lambda place: git_sources(place, recent())))
    assert sorted(hit.path.partition("@")[0] for hit in hits) == sorted([f"{repository.path}/.git", str(bare)])


def test_only_the_time_asked_for_is_searched(repository: Repository) -> None:
    old = time.time() - 10 * DAY
    repository.commit("tour", LINK, at=old)
    repository.commit("tour", "nothing\n", at=old)
    repository.git("gc", "-q", "--prune=now")
    assert history(repository, recent()) == []
    assert len(history(repository, time.time() - 11 * DAY)) == 1
    assert len(history(repository)) == 1


def test_an_old_date_does_not_hide_what_was_written_just_now(repository: Repository) -> None:
    repository.commit("tour", LINK, at=time.time() - 100 * DAY)
    assert len(history(repository, recent())) == 1


def test_many_links_are_each_found_once_and_none_else(repository: Repository) -> None:
    tokens = [f"{TOKEN[:-3]}{number:03d}" for number in range(100)]
    for number, token in enumerate(tokens[::10]):
        batch = tokens[number * 10 : number * 10 + 10]
        repository.write("big.bin", "\0" * 5000)
        repository.commit("tour", "\n".join(LINK.replace(TOKEN, one) for one in batch), f"part {token[-3:]}")
    repository.commit("tour", "nothing\n")
    folder = git_folder(str(repository.path)) or ""
    hits = found(git_sources(folder, recent()), *tokens)
    assert len(hits) == 100
    assert len({hit.fingerprint for hit in hits}) == 100
    assert found(git_sources(folder, recent()), "another7token8that9is0not1") == []


def unread_of(repository: Repository, since: float | None = None) -> list[str]:
    folder = git_folder(str(repository.path)) or str(repository.path)
    matcher = TokenMatcher([AccessToken(TOKEN)])
    reader = ScanReader(matcher.longest_form_bytes)
    hits = list(search(matcher, reader.chunks(git_sources(folder, since))))
    return [*map(str, reader.unread), *(f"hit {hit.path}" for hit in hits)]


def test_a_broken_object_is_named_and_the_rest_is_still_searched(repository: Repository) -> None:
    repository.commit("broken", "to be broken\n")
    repository.commit("tour", LINK)
    name = repository.git("rev-parse", "HEAD:broken")
    path = repository.path / ".git" / "objects" / name[:2] / name[2:]
    path.chmod(0o600)
    path.write_bytes(zlib.compress(b"blob 13\0to be") + b"?")
    lines = unread_of(repository, recent())
    assert any(":broken" in line and "hit" not in line for line in lines), lines
    assert any(line.startswith("hit") and line.endswith(":tour") for line in lines), lines


@pytest.mark.parametrize("damage", ["tree", "pack", "head"])
def test_a_corrupt_repository_is_named_and_ends_nothing(repository: Repository, damage: str) -> None:
    repository.commit("tour", LINK)
    objects = repository.path / ".git" / "objects"
    if damage == "tree":
        name = repository.git("rev-parse", "HEAD^{tree}")
        (objects / name[:2] / name[2:]).unlink()
    elif damage == "pack":
        repository.git("gc", "-q")
        (pack,) = objects.glob("pack/*.pack")
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:-60])
    else:
        (repository.path / ".git" / "HEAD").write_bytes(b"\xff\0")
    lines = unread_of(repository, recent())
    assert lines
    assert TOKEN not in "".join(lines)
    if damage == "tree":
        assert any(line.startswith("hit") for line in lines), lines


def test_a_shallow_clone_says_what_it_does_not_hold(repository: Repository, tmp_path: Path) -> None:
    repository.commit("tour", LINK)
    repository.commit("tour", "nothing\n")
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.path}", str(tmp_path / "shallow"))
    clone = Repository.__new__(Repository)
    clone.path = tmp_path / "shallow"
    (line,) = unread_of(clone, recent())
    assert "is a shallow clone" in line


def test_without_git_the_history_is_named_as_not_searched(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = unread_of(repository)
    assert "Install git" in line


def test_a_program_that_a_repository_names_is_not_run(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    repository.write(".gitattributes", "* diff=evil filter=evil\n")
    repository.commit("tour", LINK)
    for key in ("core.fsmonitor", "diff.external", "diff.evil.textconv", "diff.evil.command", "core.pager",
                "filter.evil.smudge", "core.sshCommand", "gpg.program", "core.hooksPath"):  # fmt: skip
        repository.git("config", key, str(program))
    assert len(history(repository, recent())) == 1
    assert not ran.exists()


def test_a_repository_of_another_user_is_searched(repository: Repository) -> None:
    repository.commit("tour", LINK)
    for path in [repository.path, *repository.path.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
    assert len(history(repository, recent())) == 1


def test_what_is_no_repository_is_not_taken_for_one(tmp_path: Path) -> None:
    assert git_folder(str(tmp_path)) is None
    (tmp_path / ".git").write_bytes(b"nonsense")
    assert git_folder(str(tmp_path)) is None
    (tmp_path / ".git").write_bytes(b"gitdir: /nowhere")
    assert git_folder(str(tmp_path)) is None


def test_sources_and_problems_alone_are_yielded(repository: Repository) -> None:
    folder = git_folder(str(repository.path)) or ""
    assert {type(source) for source in git_sources(folder, None)} <= {Source, Unread}


@pytest.mark.parametrize("days", [0, 30])
def test_unreachable_objects_are_searched_by_the_time_when_git_packed_them(repository: Repository, days: int) -> None:
    then = time.time() - 30 * DAY
    repository.commit("tour", LINK, at=then)
    repository.git("reset", "-q", "--hard", "HEAD~1")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("repack", "-q", "-a", "-d", "--cruft")
    (times,) = (repository.path / ".git" / "objects" / "pack").glob("*.mtimes")
    os.utime(times, (time.time() - days * DAY,) * 2)
    hits = history(repository, recent())
    assert [hit.path.endswith(" (object)") for hit in hits] == ([] if days else [True])


def test_objects_that_are_too_large_to_be_held_are_read_as_a_stream(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_history, "_HELD_BYTES", 10)
    repository.commit("tour", LINK)
    assert [hit.path.endswith(":tour") for hit in history(repository)] == [True]


def test_an_object_that_is_not_read_does_not_disturb_the_next(repository: Repository) -> None:
    for number in range(3):
        repository.commit(f"{number}", f"line {number}\n" * 1000)
    sources = list(git_sources(git_folder(str(repository.path)) or "", None))
    assert [source for source in sources if isinstance(source, Unread)] == []
    assert sum(source.path.endswith((":0", ":1", ":2")) for source in sources) == 3


def test_a_repository_of_many_broken_objects_is_given_up(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        repository.commit(f"broken{number}", f"to be broken {number}\n")
        name = repository.git("rev-parse", f"HEAD:broken{number}")
        path = repository.path / ".git" / "objects" / name[:2] / name[2:]
        path.chmod(0o600)
        path.write_bytes(zlib.compress(b"blob 13\0to be") + b"?")
    assert sum("git cannot read it whole" in line for line in unread_of(repository)) == 3
    monkeypatch.setattr(git_history, "_MAX_BROKEN_OBJECTS", 2)
    lines = unread_of(repository)
    assert sum("git cannot read it whole" in line for line in lines) == 2
    assert any(line.startswith(f"{repository.path}/.git: has over 2 objects") for line in lines), lines


@pytest.mark.parametrize(("size", "whole"), [(5, True), (6, False)])
def test_an_object_that_git_cuts_off_is_not_taken_for_a_whole_one(size: int, whole: bool) -> None:
    data = git_history._ObjectStream(io.BytesIO(b"12345"), size)
    if whole:
        with git_history._open(data, size) as stream:
            assert stream.read() == b"12345"
    else:
        with pytest.raises(EOFError):
            git_history._open(data, size)


def test_a_bare_repository_is_its_own_folder(repository: Repository) -> None:
    folder = git_folder(str(repository.path))
    assert folder == str(repository.path / ".git")
    assert git_folder(folder) == folder


def test_a_repository_whose_reading_fails_is_named(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise ValueError("x")

    monkeypatch.setattr(git_history, "_read_history", broken)
    (unread,) = git_sources(str(repository.path / ".git"), None)
    assert isinstance(unread, Unread)
    assert unread.reason == "is a broken git repository (ValueError). Its history was not searched"
