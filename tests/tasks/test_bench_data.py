"""Tests of `earcli/tasks/bench_data.py`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from earcli.errors import ConfigError, RunError
from earcli.tasks.bench_data import COLUMNS, bench_data


@pytest.fixture
def temporaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporaries"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_the_sets_of_a_manifest_are_measured_and_reported(ears: Path, tmp_path: Path, temporaries: Path) -> None:
    manifest = shutil.copy(ears / "val_teacher.npy", tmp_path)
    result = bench_data(
        manifest=manifest, root_dir=ears, counts=[3, 13], batch_size=2, num_workers=1, output=tmp_path / "out"
    )
    assert [figures["images"] for figures in result["sets"]] == [3, 13]
    assert (result["image_size"], result["batch_size"], result["num_workers"]) == (64, 2, 1)
    assert json.loads((tmp_path / "out" / "data.json").read_text()) == result.to_dict()
    (table,) = result.tables
    speed = list(COLUMNS).index("images_per_second")
    assert [(row[0], row[speed]) for row in table.rows] == [
        (f"{figures['images']}", f"{figures['images_per_second']:.0f}") for figures in result["sets"]
    ]
    assert list(temporaries.iterdir()) == []


def test_without_a_manifest_drawn_ears_are_measured(temporaries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earcli.tasks.bench_data.SYNTHETIC_EARS", 5)
    result = bench_data(counts=[6], batch_size=2, num_workers=1)
    assert [figures["images"] for figures in result["sets"]] == [6]
    assert list(temporaries.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"counts": [5, 0]}, "`counts` must be 1 or more, got 0"),
        ({"image_size": 100}, "`image_size` must be a multiple of 32 from 64 to 256, got 100"),
        ({"batch_size": 0}, "`batch_size` must be 1 or more, got 0"),
        ({"num_workers": 0}, "`num_workers` must be 1 or more, got 0"),
    ],
)
def test_a_value_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench_data(**values)


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match="cannot be written"):
        bench_data(manifest=tmp_path / "none.npy", output=tmp_path / "file" / "out")
