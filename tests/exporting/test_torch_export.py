"""Tests of `earcli/exporting/torch_export.py`."""

import json
from pathlib import Path

import numpy as np
import torch
from exports import exported

from earcli import EarVAE


def test_a_torch_archive_gives_every_feature_map_by_name(teacher: Path, images: np.ndarray) -> None:
    archive = exported(teacher, "--format", "pt2", "--part", "features") / "features.pt2"
    notes = {"ear.json": ""}
    module = torch.export.load(archive, extra_files=notes).module()
    expected = EarVAE.load_from_checkpoint(teacher).encoder.extract_features(torch.from_numpy(images))
    found = module(torch.from_numpy(images))
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    assert json.loads(notes["ear.json"])["part"] == "features"
