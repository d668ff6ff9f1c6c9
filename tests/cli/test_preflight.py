"""Tests of `earcli/cli/preflight.py`."""

import tempfile
from pathlib import Path

import pytest
from running import ear, fails, posix


def test_no_folder_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    fails(ear("synth", tmp_path / "ears"), "No usable temporary directory", "set TMPDIR")


@posix
def test_a_working_folder_that_is_gone_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    fails(ear("synth", "ears"), "working folder is gone", "Change to another")
