"""Tests of `earcli/exporting/safetensors_folder.py`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from exports import exported
from running import ear, fails

from earcli import EarVAE
from earcli.checkpoints.weights import fingerprint
from earcli.errors import CheckpointError


def test_a_folder_of_safetensors_is_the_same_teacher(teacher: Path, images: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "config.json").write_text("an earlier export, which this one replaces")
    exported(teacher, "--format", "safetensors", "--part", "vae", "-o", str(folder))
    model = EarVAE.from_pretrained(folder)
    assert not model.training
    assert fingerprint(model.state_dict()) == fingerprint(EarVAE.load_from_checkpoint(teacher).state_dict())
    with torch.no_grad():
        assert torch.equal(
            model(torch.from_numpy(images)).reconstruction,
            EarVAE.load_from_checkpoint(teacher)(torch.from_numpy(images)).reconstruction,
        )
    assert 'EarVAE.from_pretrained("teacher")' in (folder / "README.md").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"teacher"}
    (folder / "notes.txt").write_text("mine")
    fails(
        ear("export", "--checkpoint", teacher, "--format", "safetensors", "--part", "vae", "-o", folder),
        "holds notes.txt, which ear did not write",
    )
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_damaged_or_partial_is_refused(teacher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    exported(teacher, "--format", "safetensors", "--part", "decoder", "-o", str(folder))
    with pytest.raises(CheckpointError, match="holds only the decoder"):
        EarVAE.from_pretrained(folder)
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**facts, "part": "vae"}))
    with pytest.raises(CheckpointError, match="weights are missing"):
        EarVAE.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**facts, "image_size": 10**6}))
    with pytest.raises(CheckpointError, match="`image_size` must be"):
        EarVAE.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged or was not written by ear"):
        EarVAE.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        EarVAE.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"no config\.json.*local folder"):
        EarVAE.from_pretrained("someone/teacher")
