"""What measures the package sees each breach of its rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.house import House


def function(name: str, lines: int) -> str:
    return f"def {name}():\n" + "    pass\n" * (lines - 1)


def toy(root: Path, files: dict[str, str]) -> House:
    for name, text in files.items():
        path = root / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return House(root, "toy")


def test_a_large_module_is_named(tmp_path: Path) -> None:
    house = toy(tmp_path, {"small.py": "x = 1\n" * 350, "large.py": "x = 1\n" * 351})
    assert house.large_modules() == ["large.py: 351 lines"]
    assert any("large.py" in fault for fault in toy(tmp_path, {"a.py": function("f", 2)}).faults())


@pytest.mark.parametrize(("sizes", "breach"), [((8,) * 10, True), ((7,) * 10, False), ((2,) * 9 + (21,), True)])
def test_long_functions_are_a_fault(tmp_path: Path, sizes: tuple[int, ...], breach: bool) -> None:
    house = toy(tmp_path, {"a.py": "".join(function(f"f{index}", size) for index, size in enumerate(sizes))})
    assert any("functions: median" in fault for fault in house.faults()) is breach


@pytest.mark.parametrize(
    "back",
    [
        "from toy.a import x",
        "from toy import a",
        "import toy.a",
        "from .a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.a import x",
        "def late():\n    from toy.a import x",
    ],
)
def test_an_import_circle_is_found_wherever_the_import_stands(tmp_path: Path, back: str) -> None:
    house = toy(
        tmp_path, {"a.py": "from toy.b import y\nx = 1\n", "b.py": f"y = 1\n{back}\n", "c.py": "from toy.a import x\n"}
    )
    assert house.circles() == ["toy.a", "toy.b"]


def test_a_circle_through_a_face_is_found(tmp_path: Path) -> None:
    house = toy(tmp_path, {"p/__init__.py": "from toy.p.a import x\n", "p/a.py": "from toy.p import y\n"})
    assert house.circles() == ["toy.p", "toy.p.a"]


@pytest.mark.parametrize(
    "code",
    [
        "def tell_all(): ...", "class Roster: ...", "said = 1", "x.marks = 1", "f(doubt=1)", "def f(needle): ...",
        "from x import y as told", "Lost = 1", "_moment = 1", "TOLD_TWICE = 1", "a_MARK = 1", "class _Turn: ...", "async def reckon(): ...",
    ],
)  # fmt: skip
def test_a_private_word_in_a_name_is_found(tmp_path: Path, code: str) -> None:
    (found,) = toy(tmp_path, {"a.py": f"\n{code}\n"}).private_names()
    assert found.startswith(("a.py:2: ", "a.py:1: "))


def test_words_that_only_contain_a_private_one_are_fine(tmp_path: Path) -> None:
    code = 'marker = market = "x"\nlost_before = foretell = on_alarm = Momentum = mark_uncertain = 1\n'
    assert not toy(tmp_path, {"a.py": code}).private_names()


@pytest.mark.parametrize(
    "line", ["# no row of ours", '"""It is TOLD that."""', 'raise ValueError("put it beside that")']
)
def test_a_private_word_in_prose_is_found(tmp_path: Path, line: str) -> None:
    house = toy(tmp_path, {"a.py": f"\n{line}\n# a shoulder, besides, untold\n"})
    (found,) = house.private_prose()
    assert found.startswith("a.py:2: ")


def test_a_replaced_module_is_found(tmp_path: Path) -> None:
    assert toy(tmp_path, {"operators/edge.py": "x = 1\n"}).private_names() == ["operators/edge.py"]


def test_a_module_without_a_test_file_is_named(tmp_path: Path) -> None:
    two = function("f", 2) + function("g", 2)
    house = toy(
        tmp_path,
        {**dict.fromkeys(("a.py", "_b.py", "p/c.py", "p/d.py", "__init__.py"), two), "one.py": function("f", 2)},
    )
    for name in ("test_b.py", "p/test_c_more.py", "test_d.py"):
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert house.without_tests() == (["a.py", "p/d.py"], 4)
