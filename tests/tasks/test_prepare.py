"""Tests of `earcli/tasks/prepare.py`."""

from pathlib import Path

import pytest
from raw import fill

import earcli
from earcli.data.manifest import read_manifest


def test_the_task_returns_what_it_wrote_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "raw", 5)
    (tmp_path / "raw" / "broken.png").write_text("no image")
    result = earcli.prepare(tmp_path / "raw", tmp_path / "out", seed=3)
    assert capsys.readouterr() == ("", "")
    assert (result.train_count, result.val_count) == (4, 1)
    assert result.train_manifest == tmp_path / "out" / "train_teacher.npy"
    assert {result.train_manifest, result.val_manifest} < set(result.manifests)
    assert len(read_manifest(result.train_manifest)) == 4
    assert [item.path for item in result.left_out] == ["raw/broken.png"]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {path.name for path in result.manifests} | {"data_card.md", "contact_sheet.png", "left_out.csv"}
