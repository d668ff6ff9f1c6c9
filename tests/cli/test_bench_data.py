"""Tests of `earcli/cli/bench_data.py`."""

import json
import re
from pathlib import Path

import pytest
from running import ear, fails


def test_bench_data_measures_sets_of_any_size(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sizes = ["--count", 3, "--count", 50, "--batch-size", 4]
    result = ear("bench", "data", "--manifest", ears / "train_teacher.npy", *sizes, "--json", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "out" / "data.json").read_text())
    assert [one["images"] for one in report["sets"]] == [3, 50]
    for one in report["sets"]:
        assert min(one["build_s"], one["start_s"], one["images_per_second"]) > 0
    assert re.findall(r"^\| (\d+) \|", (tmp_path / "out" / "data.md").read_text(), re.M) == ["3", "50"]
    assert not list(tmp_path.glob("tmp*"))  # the caches are gone
    result = ear("bench", "data", "--manifest", ears / "train_teacher.npy", "--count", 3)
    assert "second start" in " ".join(result.stdout.split())


def test_bench_data_refuses_a_side_that_no_model_has(ears: Path) -> None:
    fails(ear("bench", "data", "--image-size", 100), "--image-size must be a multiple of 32 from 64 to 256, got 100.")
