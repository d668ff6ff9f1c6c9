"""Tests of `earcli/cli/bench_infer.py`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earcli.benchmarks.inference import ROUNDS
from earcli.cli.app import app


@pytest.mark.slow
def test_bench_infer_measures_side_by_side(teacher: Path, tmp_path: Path) -> None:
    options = ["--backend", "torch", "--backend", "onnx", "--batch-size", "2", "--seconds", "0.05", "--threads", "1"]
    command = ["bench", "infer", "--checkpoint", str(teacher), *options, "-o", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "infer.json").read_text())
    assert [(speed["backend"], speed["batch"]) for speed in report["speed"]] == [("torch", 2), ("onnx", 2)]
    for speed in report["speed"]:
        assert 0 < speed["median_ms"] <= speed["p95_ms"]
        assert speed["runs"] >= 3 * ROUNDS
    facts = report["backends"]
    assert facts["onnx"]["relative_error"] <= 1e-4
    assert facts["onnx"]["cosine"] >= 0.999999
    assert facts["torch"]["file_bytes"] == teacher.stat().st_size
    # each was alone in its process: onnxruntime does without torch, which takes some 200 MB by itself
    assert facts["onnx"]["peak_memory_bytes"] < facts["torch"]["peak_memory_bytes"]
    assert "| ONNX fp32 | 2 |" in (tmp_path / "infer.md").read_text()
    assert "images/s" in result.stdout


def test_an_unknown_backend_is_one_line(teacher: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "infer", "--checkpoint", str(teacher), "--backend", "tpu"])
    assert result.exit_code == 1
    assert result.stderr == "error: --backend must be one of torch, compile, onnx, int8, got 'tpu'.\n"
