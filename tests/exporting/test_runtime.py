"""Tests of `earcli/exporting/runtime.py`."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from running import ROOT

from earcli import EarVAE
from earcli.data.batches import as_images
from earcli.data.images import read_crop
from earcli.data.manifest import read_manifest

DOCS = ROOT / "docs"


WHOLE_PICTURE = np.full(4, np.nan)


NO_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "earcli"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""


def test_the_ten_lines_of_the_guide_run_without_torch(encoder: Path, teacher: Path, ears: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(import numpy.*?)```", (DOCS / "export.md").read_text(encoding="utf-8"), re.S)
    assert len([line for line in code.splitlines() if line]) == 10
    picture = ears / read_manifest(ears / "val_teacher.npy").paths[0]
    (tmp_path / "encoder.onnx").write_bytes(encoder.read_bytes())
    (tmp_path / "ear.jpg").write_bytes(picture.read_bytes())
    result = subprocess.run([sys.executable, "-c", NO_TORCH + code], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    printed = [float(word) for word in result.stdout.removeprefix("embedding: ").split()]
    pixels = torch.from_numpy(read_crop(picture, WHOLE_PICTURE, 64).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = EarVAE.load_from_checkpoint(teacher).encode(as_images(pixels))[0]
    np.testing.assert_allclose(printed, expected.numpy(), rtol=1e-4, atol=1e-5)
    blocked = subprocess.run([sys.executable, "-c", NO_TORCH + "import torch"], capture_output=True, text=True)
    assert "torch is blocked" in blocked.stderr


def test_onnxruntime_is_told_to_report_nothing() -> None:
    code = "import earcli.exporting, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
