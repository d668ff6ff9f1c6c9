"""Tests of `earcli/exporting/parity.py`."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import ear, fails

from earcli import EarVAE
from earcli.errors import ExportError
from earcli.exporting import export as exporting
from earcli.exporting.metadata import ExportMetadata
from earcli.exporting.parity import TOLERANCES, OutputError, Parity, check_parity, compare_outputs
from earcli.exporting.parts import make_part


def test_what_computes_something_else_is_not_kept(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = exporting.write_folder

    def spoil(part: Any, folder: Path, facts: ExportMetadata) -> None:
        spoilt = make_part(EarVAE.load_from_checkpoint(teacher), part.name)
        with torch.no_grad():
            spoilt.module.encoder.mu_head.bias[0] += 0.1
        write(spoilt, folder, facts)

    monkeypatch.setattr(exporting, "write_folder", spoil)
    target = tmp_path / "out" / "teacher"
    result = ear("export", "--checkpoint", teacher, "--format", "safetensors", "--part", "vae", "-o", target)
    fails(result, "teacher does not compute the same as the checkpoint", "reconstruction has a relative error of")
    assert list(target.parent.iterdir()) == []


def test_closeness_is_what_its_formulas_say() -> None:
    b = np.array([[3.0, 4.0], [0.0, 10.0]], np.float32)
    a = np.array([[3.0, 4.0], [10.0, 0.0]], np.float32)
    assert compare_outputs(a, b) == OutputError(10.0, 1.0, 0.0)
    assert compare_outputs(b, b) == OutputError(0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "psnr", "message"),
    [
        (OutputError(0.1, 2e-4, 1.0), 90.0, "mu has a relative error of 2.0e-04, expected at most 1e-04"),
        (OutputError(0.1, 1e-5, 0.9), 90.0, "mu has a cosine of 0.900000"),
        (OutputError(0.1, 1e-5, 1.0), 20.0, "reconstructions agree to 20.0 dB"),
        (OutputError(float("nan"), float("nan"), float("nan")), None, "mu has a relative error of nan"),
    ],
)
def test_each_figure_has_its_tolerance(value: OutputError, psnr: float | None, message: str) -> None:
    with pytest.raises(ExportError, match=re.escape(message)):
        check_parity(Parity({"mu": value}, psnr, 1), TOLERANCES["fp32"], "x.onnx")
