"""Measuring speed: what is timed, what is written, how it fails."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from running import ear, fails
from typer.testing import CliRunner

from earcli.benchmarks.inference import ROUNDS, measure_speed
from earcli.cli.app import app


class FakeWorker:
    """Says that a batch took 10 ms an image, and every tenth pass twice that."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def time(self, images: np.ndarray, seconds: float) -> list[float]:
        self.asked.append((len(images), seconds))
        return [0.01 * len(images)] * 9 + [0.02 * len(images)]


def test_speed_is_images_over_time_and_latency_a_percentile() -> None:
    workers = {"a": FakeWorker(), "b": FakeWorker()}
    found = measure_speed(workers, np.zeros((3, 3, 64, 64), np.float32), [1, 8], 6.0, lambda *_: None)  # type: ignore[arg-type]
    assert [(speed.backend, speed.batch) for speed in found] == [("a", 1), ("b", 1), ("a", 8), ("b", 8)]
    for speed in found:
        assert speed.runs == 10 * ROUNDS
        np.testing.assert_allclose(speed.images_per_second, 10 / 0.11)
        np.testing.assert_allclose(speed.median_ms, 10 * speed.batch)
        np.testing.assert_allclose(speed.p95_ms, 20 * speed.batch)
    assert workers["a"].asked == [(1, 1.0)] * ROUNDS + [(8, 1.0)] * ROUNDS


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
