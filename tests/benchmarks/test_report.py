"""Tests of `earcli/benchmarks/report.py`."""

import json
from pathlib import Path

import pytest

from earcli.benchmarks.report import Benchmark, Table
from earcli.errors import RunError

FIGURES = {"images_per_second": 12.5, "phases": {"data": 1.0, "encoder": 2.0}}
TABLES = [Table(["phase", "ms"], [["data", "1.0"], ["a|b", "2.0"]]), Table(["memory"], [["3 MiB"]])]


def test_the_figures_are_found_by_name() -> None:
    benchmark = Benchmark("Training step", FIGURES, TABLES)
    assert benchmark["images_per_second"] == 12.5
    assert benchmark.to_dict() == FIGURES
    with pytest.raises(KeyError, match="speed"):
        benchmark["speed"]


def test_a_report_is_written_as_json_and_as_markdown(tmp_path: Path) -> None:
    Benchmark("Training step, on a CPU", FIGURES, TABLES, tmp_path / "bench").write("train")
    assert json.loads((tmp_path / "bench" / "train.json").read_text()) == FIGURES
    assert (tmp_path / "bench" / "train.md").read_text() == (
        "Training step, on a CPU\n\n"
        "| phase | ms |\n| --- | --: |\n| data | 1.0 |\n| a\\|b | 2.0 |\n\n"
        "| memory |\n| --- |\n| 3 MiB |\n"
    )
    assert {path.name for path in (tmp_path / "bench").iterdir()} == {"train.json", "train.md"}


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Benchmark("Training step", FIGURES, TABLES).write("train")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file.* cannot be written"):
        Benchmark("Training step", FIGURES, TABLES, tmp_path / "file" / "bench").write("train")
