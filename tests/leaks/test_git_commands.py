"""Git is run with the repository's own settings alone, its lines are whole, and it is ended with what reads it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.git_commands import GitObject, GitRepository
from tests.support.leaked import TOKEN

REPOSITORY = GitRepository("/some/repository")
Script = Callable[[str], None]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Puts a shell script in the place of git."""

    def put(text: str) -> None:
        program = tmp_path / "git"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return put


def test_an_object_is_read_from_its_line() -> None:
    assert GitObject.read(b"0a1b blob 12") == GitObject("0a1b", "blob", 12)
    assert GitObject.read(b"0a1b missing") == GitObject("0a1b", "missing", 0)
    assert GitObject.read(b"0a1b \xff 1").kind == "\N{REPLACEMENT CHARACTER}"


def test_git_is_run_on_the_folder_without_the_settings_of_the_user(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("HOME", "/home/ada")
    script('echo "$@"; echo "$HOME $GIT_DIR $GIT_TERMINAL_PROMPT $GIT_ALLOW_PROTOCOL"')
    arguments, environment = REPOSITORY.lines("rev-list", "--all")
    assert arguments == (
        b"-c safe.directory=* -c core.fsmonitor=false --git-dir /some/repository rev-list --all"
    )  # fmt: skip
    assert environment == b"/home/ada  0 none"


@pytest.mark.parametrize("rest", ["", "last"])
def test_lines_are_whole_however_they_end(script: Script, rest: str) -> None:
    script(f"printf 'one\\000t\\nwo\\000{rest}'")
    assert list(REPOSITORY.lines("log", end=b"\0")) == [b"one", b"t\nwo", *([rest.encode()] if rest else [])]
    script("printf 'one\\n\\ntwo\\n'")
    assert list(REPOSITORY.lines("log")) == [b"one", b"", b"two"]


def test_many_lines_are_read_in_steps_and_none_is_cut(script: Script) -> None:
    script("cat")
    wanted = [f"{number:05}" for number in range(40_000)]
    assert [line.decode() for line in REPOSITORY.lines("log", stdin=wanted)] == wanted


def test_a_file_is_read_by_git_itself(script: Script, tmp_path: Path) -> None:
    script("cat")
    (tmp_path / "names").write_bytes(b"a\nb\n")
    with (tmp_path / "names").open("rb") as names:
        assert list(REPOSITORY.lines("log", stdin=names)) == [b"a", b"b"]


def test_contents_are_what_cat_file_writes_of_the_names(script: Script) -> None:
    script('echo "$@" >&1; cat')
    with REPOSITORY.contents(["0a", "1b"]) as stream:
        assert stream.read() == (
            b"-c safe.directory=* -c core.fsmonitor=false --git-dir /some/repository cat-file --batch --buffer\n0a\n1b\n"
        )


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("fatal: bad object\\nhint: more", r"failed \(fatal: bad object\)\. Run git fsck"),
        ("", r"failed \(it was ended\)"),
        ("x" * 300, r"failed \(x{200}\)"),
        ("fatal: \\377", "failed \\(fatal: \N{REPLACEMENT CHARACTER}\\)"),
    ],
)
def test_a_command_that_fails_is_an_error_with_gits_first_line(script: Script, error: str, shown: str) -> None:
    script(f"echo one; printf '{error}' >&2; exit 3")
    lines = REPOSITORY.lines("log")
    assert next(lines) == b"one"
    with pytest.raises(PMEScanError, match=f"git log {shown}"):
        next(lines)


def test_a_message_that_is_read_after_git_has_ended_is_shown(script: Script) -> None:
    script("(sleep 0.05; echo 'fatal: late' >&2) >&- & exit 3")
    with pytest.raises(PMEScanError, match="fatal: late"):
        list(REPOSITORY.lines("log"))


def test_an_error_of_git_shows_no_token(script: Script) -> None:
    script(f"echo 'fatal: auth=Bearer+{TOKEN}' >&2; exit 3")
    with pytest.raises(PMEScanError, match="fatal") as failed:
        list(REPOSITORY.lines("log"))
    assert TOKEN not in str(failed.value)


def test_an_error_longer_than_a_pipe_holds_does_not_stop_git(script: Script) -> None:
    script("head -c 300000 /dev/zero | tr '\\0' x >&2; echo done")
    assert list(REPOSITORY.lines("log")) == [b"done"]


def test_a_machine_without_git_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PMEScanError, match="git is not installed"):
        list(REPOSITORY.lines("log"))


def test_a_reader_that_fails_ends_git_and_leaves_neither_a_process_nor_a_stream(script: Script) -> None:
    script("echo $$; exec sleep 600")
    before, opened, found = set(threading.enumerate()), [], []

    def fail() -> None:
        with REPOSITORY.contents([]) as stream:
            opened.append((stream, int(stream.readline())))
            found.extend(set(threading.enumerate()) - before)
            raise ValueError("a broken object")

    with pytest.raises(ValueError, match="a broken object"):
        fail()
    ((stream, process),) = opened
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert stream.closed
    assert all(thread.daemon for thread in found)  # so that none keeps the interpreter alive


def test_names_that_git_does_not_read_are_no_error_and_nothing_draws_them_afterwards(script: Script) -> None:
    script("exec true")
    ended = threading.Event()

    def names() -> Iterator[str]:
        threading.Event().wait(0.05)
        ended.set()
        yield "x"

    assert list(REPOSITORY.lines("log", stdin=names())) == []
    assert ended.is_set()
