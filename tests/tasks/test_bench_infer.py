"""Tests of `earcli/tasks/bench_infer.py`."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from fitting import Recorder

from earcli.benchmarks.inference import torch_encoder
from earcli.errors import ConfigError
from earcli.tasks.bench_infer import _parity_table, _speed_table, bench_infer


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backends": ["torch", "tpu"]}, "`backends` must be one of torch, compile, onnx, int8, got 'tpu'"),
        ({"batch_sizes": [8, 0]}, "`batch_sizes` must be 1 or more, got 0"),
        ({"seconds": 0.0}, "`seconds` must be 0.01 or more, got 0.0"),
        ({"threads": 0}, "`threads` must be 1 or more, got 0"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_is_read(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench_infer("nowhere.ckpt", **parameters)


class InProcess:
    """A worker of this process, without a compiler, whose every pass takes half a second."""

    def __init__(self, backend: str, path: Path, threads: int) -> None:
        self.backend, self.run = backend, torch_encoder(path, threads, compiled=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def encode(self, images: np.ndarray) -> np.ndarray:
        if self.backend == "compile":
            raise RuntimeError("no compiler\nsecond line")
        return self.run(images)

    def time(self, images: np.ndarray, seconds: float) -> list[float]:
        return [0.5]

    def peak_memory(self) -> int:
        return 7_000_000


def test_a_machine_without_a_compiler_gets_the_figures_of_the_others(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earcli.benchmarks.inference.Worker", InProcess)
    reporter, threads = Recorder(), torch.get_num_threads()
    result = bench_infer(
        teacher,
        backends=["compile", "torch"],
        batch_sizes=[4, 2, 4],
        threads=threads,
        output=tmp_path,
        reporter=reporter,
    )
    assert reporter.notes == ["without compile: RuntimeError: no compiler"]
    assert result["left_out"] == {"compile": "RuntimeError: no compiler"}
    assert [(row["backend"], row["batch"], row["images_per_second"]) for row in result["speed"]] == [
        ("torch", 2, 4.0),
        ("torch", 4, 8.0),
    ]
    exact = {"file_bytes": teacher.stat().st_size, "relative_error": 0.0, "peak_memory_bytes": 7_000_000}
    assert result["backends"] == {"torch": {**exact, "cosine": pytest.approx(1)}}
    assert json.loads((tmp_path / "infer.json").read_text()) == result.to_dict()
    assert "| PyTorch | 2 | 4.0 | 1.00 | 500.00 | 500.00 |" in (tmp_path / "infer.md").read_text()


def test_speeds_are_relative_to_pytorch_at_the_same_batch_size() -> None:
    speeds = [("torch", 1, 20.0), ("onnx", 1, 50.0), ("torch", 8, 40.0), ("onnx", 8, 30.0)]
    rows = [
        {"backend": name, "batch": batch, "images_per_second": speed, "median_ms": 1.234, "p95_ms": 5.678}
        for name, batch, speed in speeds
    ]
    table = _speed_table({"speed": rows})
    assert [row[3] for row in table.rows] == ["1.00", "2.50", "1.00", "0.75"]
    assert table.rows[1] == ("ONNX fp32", "1", "50.0", "2.50", "1.23", "5.68")
    assert [row[3] for row in _speed_table({"speed": rows[1::2]}).rows] == ["", ""]


def test_sizes_are_in_megabytes() -> None:
    facts = {"peak_memory_bytes": 250_400_000, "file_bytes": 1_340_000, "relative_error": 0.00123, "cosine": 0.9999996}
    (row,) = _parity_table({"backends": {"int8": facts}}).rows
    assert row == ("ONNX int8", "250", "1.3", "1.2e-03", "1.000000")
