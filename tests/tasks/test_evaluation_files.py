"""Tests of `earcli/tasks/evaluation_files.py`."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from earcli.analysis.evaluation import TeacherMeasurements
from earcli.analysis.verdict import MetricRow
from earcli.config.teacher import TrainConfig
from earcli.data.batches import as_images, as_pixels
from earcli.data.cache import Crops, Skipped
from earcli.data.manifest import Manifest
from earcli.data.pixels import MirroredPixels
from earcli.files import check_replaceable
from earcli.models.vae import EarVAE
from earcli.tasks.evaluation_files import TEACHER_FILES, _with_reconstructions, write_metrics, write_teacher_evaluation

COUNT = 20
ROWS = [
    MetricRow("reconstruction", "psnr", "PSNR, dB", "19.50", target="≥ 28", verdict=False),
    MetricRow("baselines", "mean_image", "mean training image, dB", "12.00", verdict="teacher +7.50"),
    MetricRow("latent", "deterministic", "deterministic", "yes", target="yes", verdict=True),
]


@pytest.fixture(scope="module")
def model() -> EarVAE:
    torch.manual_seed(0)
    return EarVAE(latent_dim=2, image_size=64, encoder="resnet18").eval()


def crops(subjects: list[str] | None = None) -> Crops:
    """Gray pictures, of which number N has the value N."""
    pixels = np.empty((COUNT, 64, 64, 3), np.uint8)
    pixels[:] = np.arange(COUNT)[:, None, None, None]
    names = [f"{number}.jpg" for number in range(COUNT)]
    manifest = Manifest(names, np.full((COUNT, 4), np.nan), subjects)
    return Crops(pixels, manifest, [Skipped(3, "gone.jpg", "no such file")])


def write(folder: Path, model: EarVAE, psnr: np.ndarray, subjects: list[str] | None = None) -> dict[str, Any]:
    folder.mkdir()
    per_image = {"psnr": psnr, "mse": np.zeros(COUNT), "ssim": np.full(COUNT, 1 / 3)}
    measurements = TeacherMeasurements({"images": COUNT}, per_image, np.array([0.5, 2.0]), ["It is < the mean."])
    config = TrainConfig(latent_dim=2, skeleton_dim=0, image_size=64, encoder="resnet18")
    path = Path("best.ckpt")
    return write_teacher_evaluation(folder, path, model, config, "val.npy", crops(subjects), measurements, ROWS)


def test_an_evaluation_lists_every_ear_and_the_verdicts(model: EarVAE, tmp_path: Path) -> None:
    subjects = ["Ann", "Bob"] * (COUNT // 2)
    document = write(tmp_path / "out", model, np.arange(10.0, 10 + COUNT), subjects)
    assert document["met"] == {"psnr": False, "deterministic": True}
    assert document["ears"] == "20 (1 images skipped)"
    assert document["architecture"] == "resnet18, 64 pixels, 2 learned latent dimensions, 0 of the skeleton"
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT
    assert rows[3] == {"path": "3.jpg", "subject": "Bob", "psnr": "13", "ssim": "0.333333"}
    assert (tmp_path / "out" / "skipped.csv").read_text() == "path,reason\ngone.jpg,no such file\n"
    report = (tmp_path / "out" / "report.html").read_text()
    assert report.count("data:image/png") == 3
    assert "It is &lt; the mean." in report
    assert [report.index(f">{title}<") for title in ("Reconstruction", "Baselines", "Latent")] == sorted(
        report.index(f">{title}<") for title in ("Reconstruction", "Baselines", "Latent")
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(TEACHER_FILES)
    check_replaceable(tmp_path / "out", TEACHER_FILES)


def test_the_best_median_and_worst_ears_are_drawn(
    model: EarVAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def draw(path: Path, title: str, rows: dict[str, Any]) -> None:
        drawn.update(rows)
        path.write_bytes(b"")

    monkeypatch.setattr("earcli.tasks.evaluation_files.save_labeled_rows", draw)
    psnr = 10 + np.roll(np.arange(COUNT), 5).astype(np.float32)  # ear N has 10 + (N - 5) mod 20 dB
    write(tmp_path / "out", model, psnr)
    shown = {label: pairs[0][:, 0, 0, 0].tolist() for label, pairs in drawn.items()}
    assert shown == {
        "best: 22.0 to 29.0 dB": [4, 3, 2, 1, 0, 19, 18, 17],
        "median: 16.0 to 23.0 dB": [18, 17, 16, 15, 14, 13, 12, 11],
        "worst: 10.0 to 17.0 dB": [12, 11, 10, 9, 8, 7, 6, 5],
    }
    assert all(pairs[1].shape == (8, 64, 64, 3) for pairs in drawn.values())


def test_metrics_that_no_json_reader_takes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_metrics(tmp_path / "metrics.json", {"psnr": float("nan")})


def test_examples_show_ears_on_the_side_that_they_have(teacher: Path) -> None:
    model = EarVAE.load_from_checkpoint(teacher)
    assert model.laterality is not None
    plain = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)
    images = as_images(torch.from_numpy(plain).permute(0, 3, 1, 2))
    right = (model.laterality(images) > 0).numpy()
    assert 0 < right.sum() < 6
    rows = np.array([4, 0, 5, 1, 2, 3])
    shown, reconstructions = _with_reconstructions(model, MirroredPixels(plain, right), rows)
    assert np.array_equal(shown, plain[rows])
    with torch.no_grad():
        assert np.array_equal(reconstructions, as_pixels(model(images[rows]).reconstruction))
