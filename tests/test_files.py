"""Tests of `earcli/files.py`."""

import os
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earcli.errors import RunError
from earcli.files import atomic_folder, atomic_write, escape_formula, unescape_formula


def test_guarding_a_cell_can_always_be_undone() -> None:
    rng = np.random.default_rng(0)
    letters = list("'=+-@\t\r1 a" + string.ascii_letters[:3])
    for _ in range(2000):
        text = "".join(rng.choice(letters, rng.integers(0, 5)))
        assert unescape_formula(escape_formula(text)) == text


@given(st.text())
def test_no_text_becomes_a_formula(value: str) -> None:
    cell = escape_formula(value)
    try:
        float(cell)
    except ValueError:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(RunError, match="No space left"):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_a_file_may_have_the_longest_name_there_is(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".json")
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results"

    def write(text: str, fail: bool = False) -> None:
        with atomic_folder(path, ("*.txt",)) as folder:
            (folder / f"{text}.txt").write_text(text)
            if fail:
                raise OSError(28, os.strerror(28))

    write("first")
    write("second")
    with pytest.raises(RunError, match="No space left"):
        write("third", fail=True)
    assert [p.name for p in path.iterdir()] == ["second.txt"]
    rename = Path.rename
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda a, b: rename(a, b) if a.parent == tmp_path else (a / "no").rmdir())
        with pytest.raises(RunError, match="cannot be written"):
            write("fourth")  # the old folder is already aside, and comes back
    assert [p.name for p in path.iterdir()] == ["second.txt"]
    (path / "mine.md").write_text("precious")
    with pytest.raises(RunError, match=r"holds mine.md, which ear did not write. Give another folder"):
        write("fifth")
    assert sorted(p.name for p in path.iterdir()) == ["mine.md", "second.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
