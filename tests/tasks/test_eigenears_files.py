"""Tests of `earcli/tasks/eigenears_files.py`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from earcli.analysis.eigenears import EigenEars
from earcli.data.batches import as_pixels
from earcli.data.cache import Skipped
from earcli.models.vae import EarVAE
from earcli.tasks.eigenears import EigenearsComponent, EigenearsResult
from earcli.tasks.eigenears_files import EIGENEARS_FILES, write_eigenears

MEAN = np.linspace(-1, 1, 4, dtype=np.float32)
SPACE = EigenEars(MEAN, np.eye(4, dtype=np.float32)[:2], np.array([4, 1], np.float32), 10.0, 20)


@pytest.fixture(scope="module")
def model() -> EarVAE:
    torch.manual_seed(0)
    return EarVAE(latent_dim=4, image_size=64, encoder="resnet18").eval()


def result(folder: Path) -> EigenearsResult:
    parts = [EigenearsComponent(number, 0.4, 0.3, {"blur": -0.5}, None, None, None) for number in (1, 2)]
    return EigenearsResult(folder, parts, [], Path("t.ckpt"), "m.npy", 20, 1, 2.0, 3)


def test_every_file_has_a_name_by_which_the_next_result_may_replace_it(model: EarVAE, tmp_path: Path) -> None:
    written = result(tmp_path)
    write_eigenears(tmp_path, written, model, SPACE, [Skipped(0, "gone.jpg", "no such file")])
    names = {path.name for path in tmp_path.iterdir()}
    strips = {"pc_01.png", "pc_02.png", "eigenears_grid.png", "variance.png"}
    assert names == strips | {"eigenears.npz", "eigenears.json", "skipped.csv"}
    assert all(any(Path(name).match(pattern) for pattern in EIGENEARS_FILES) for name in names)
    assert json.loads((tmp_path / "eigenears.json").read_text()) == written.to_dict()
    np.testing.assert_array_equal(EigenEars.load(tmp_path / "eigenears.npz").components, SPACE.components)
    assert (tmp_path / "skipped.csv").read_text() == "path,reason\ngone.jpg,no such file\n"


def test_a_strip_runs_through_the_mean_ear(model: EarVAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Mapping[str, Sequence[np.ndarray]]] = {}
    monkeypatch.setattr(
        "earcli.tasks.eigenears_files.save_labeled_rows", lambda path, title, rows: drawn.update({path.name: rows})
    )
    write_eigenears(tmp_path, result(tmp_path), model, SPACE, [])
    assert list(drawn["eigenears_grid.png"]) == ["PC 1: 40.0% of the variance", "PC 2: 10.0% of the variance"]
    (strip,) = drawn["pc_01.png"][""]
    codes = np.stack([MEAN + step * np.array([2, 0, 0, 0], np.float32) for step in (-2, 0, 2)])  # ±2σ, σ = 2
    with torch.no_grad():
        expected = as_pixels(model.decode(torch.from_numpy(codes)))
    np.testing.assert_allclose(strip.astype(int), expected.astype(int), atol=1)
    assert not np.array_equal(drawn["pc_02.png"][""][0], strip)
    assert not (tmp_path / "skipped.csv").exists()
