"""Fixtures of the tests of exports."""

from pathlib import Path

import numpy as np
import pytest
from exports import exported

from earcli.data.decoding import sample_crops
from earcli.data.manifest import read_manifest
from earcli.exporting.runtime import to_images


@pytest.fixture(scope="module")
def encoder(teacher: Path) -> Path:
    return exported(teacher) / "encoder.onnx"


@pytest.fixture(scope="module")
def images(ears: Path) -> np.ndarray:
    return to_images(sample_crops(read_manifest(ears / "val_teacher.npy"), 64, 5, 2))
