"""`ear evaluate` as a user gives it: what it prints, what it leaves, how it fails."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import ear, fails

from earcli.checkpoints.runs import RunFolder

FILES = {"metrics.json", "per_image.csv", "report.html", "examples.png", "psnr.png", "kl.png"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_evaluate_measures_what_training_measured_and_leaves_a_report(run: RunFolder, tmp_path: Path) -> None:
    result = ear("evaluate", "--run-dir", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert f"teacher {run.best()[0].path}" in result.stdout
    assert re.search(r"PSNR, dB  measured \d+\.\d\d +95% interval .* target ≥ 28 +verdict missed", result.stdout)
    assert "mean training image" in result.stdout
    assert "PCA of 28, dB" in result.stdout
    folder = run.path / "evaluation"
    assert set(content(folder)) == FILES
    assert sorted(p.name for p in run.path.glob(".*")) == []
    metrics = json.loads((folder / "metrics.json").read_text())
    with run.metrics.open() as file:
        logged = list(csv.DictReader(file))[run.best()[0].epoch]
    for name, key in (
        ("psnr", "psnr"),
        ("psnr_pooled", "psnr_pooled"),
        ("ssim", "ssim"),
        ("l1", "l1"),
        ("edge", "edge"),
    ):
        assert metrics["reconstruction"][name]["value"] == pytest.approx(float(logged[f"val/{key}"]), rel=1e-3)
    assert metrics["latent"]["kl_nats"] == pytest.approx(float(logged["val/kl_nats"]), rel=1e-3)
    assert metrics["latent"]["active_units"] == int(logged["val/active_units"])
    for path in ("skeleton", "deep"):
        assert metrics["paths"][path]["psnr"]["value"] == pytest.approx(float(logged[f"val/psnr_{path}"]), rel=1e-3)
    with (folder / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [f"images/ear_{i:05d}.jpg" for i in range(70)]
    mean = np.mean([float(row["psnr"]) for row in rows])
    assert metrics["reconstruction"]["psnr"]["value"] == pytest.approx(mean, rel=1e-4)


def test_json_is_all_that_stdout_has_and_results_are_replaced(run: RunFolder, tmp_path: Path) -> None:
    where = ["--run-dir", tmp_path / "runs", "--output", tmp_path / "out"]
    first = ear("evaluate", *where, "--json", "--limit", 6, "--target-psnr", 1)
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    assert document["images"] == 6
    assert document["met"]["psnr"] is True
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
    again = ear("evaluate", *where, "--fail-under-psnr", 90)
    fails(again, "under --fail-under-psnr 90. The results were kept.")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["images"] == 70


class Collector(HTMLParser):
    """The tags and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_holds_everything_and_escapes_names(run: RunFolder, ears: Path, tmp_path: Path) -> None:
    shutil.copy(ears / "val_teacher.npy", tmp_path / "<script>alert(1)</script>.npy".replace("/", "∕"))
    hostile = next(tmp_path.glob("<script>*"))
    result = ear("evaluate", "--run-dir", tmp_path / "runs", "--manifest", hostile, "--root-dir", ears)
    assert result.exit_code == 0, result.output
    text = (run.path / "evaluation" / "report.html").read_text(encoding="utf-8")
    page = Collector()
    page.feed(text)
    assert "script" not in page.tags
    assert "&lt;script&gt;alert(1)" in text
    assert page.tags.count("img") == 3
    assert all(link.startswith("data:image/png;base64,") for link in page.links)


def test_a_folder_names_people_when_asked(run: RunFolder, ears: Path, tmp_path: Path) -> None:
    paths = []
    for index in range(6):
        name = f"p{index % 3}/{index}.jpg"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ears / "images" / f"ear_{index:05d}.jpg", tmp_path / name)
        paths.append(name)
    np.save(tmp_path / "m.npy", {"image_paths": paths, "bboxes": [None] * 6}, allow_pickle=True)
    base = ["evaluate", "--run-dir", tmp_path / "runs", "--manifest", tmp_path / "m.npy"]
    assert "people:" not in ear(*base).stdout
    shown = ear(*base, "--subject", "folder").stdout
    assert re.search(r"people: rank-1, 3 people  measured \d", shown)
    assert "equal error rate" in shown
    with (run.path / "evaluation" / "per_image.csv").open() as file:
        assert [row["subject"] for row in csv.DictReader(file)] == ["p0", "p1", "p2"] * 2


def test_failures_are_one_line_and_leave_the_old_results(run: RunFolder, ears: Path, tmp_path: Path) -> None:
    base = ["evaluate", "--run-dir", tmp_path / "runs"]
    assert ear(*base, "--limit", 6).exit_code == 0
    before = content(run.path / "evaluation")
    np.save(tmp_path / "gone.npy", {"image_paths": ["a.jpg"] * 9, "bboxes": [None] * 9}, allow_pickle=True)
    fails(
        ear(*base, "--manifest", tmp_path / "gone.npy"),
        "9 of 9 pictures cannot be used",
        "Fix the files, or the paths in the manifest",
    )
    fails(ear(*base, "--manifest", tmp_path / "none.npy"), "none.npy does not exist")
    fails(ear(*base, "--limit", 1), "needs at least 2 images")
    fails(ear(*base, "--train-manifest", tmp_path / "none.npy"), "none.npy does not exist")
    fails(ear(*base, "--perceptual-weights", "nowhere.pth"), "--perceptual-weights nowhere.pth: no such file")
    (run.path / "evaluation" / "mine.txt").write_text("precious")
    fails(ear(*base), "holds mine.txt, which ear did not write. Give another folder")
    assert content(run.path / "evaluation") == {**before, "mine.txt": b"precious"}
    assert sorted(p.name for p in run.path.glob(".*")) == []


def test_a_run_whose_pictures_have_moved_says_which(run: RunFolder, ears: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(run.best()[0].path, weights_only=True)
    checkpoint["hyper_parameters"] |= {"val_manifest": "/gone/val.npy", "train_manifest": "/gone/train.npy"}
    moved = run.checkpoints / "moved.ckpt"
    torch.save(checkpoint, moved)
    fails(ear("evaluate", "--checkpoint", moved), "/gone/val.npy", "does not exist", "--manifest", "--root-dir")
    result = ear("evaluate", "--checkpoint", moved, "--manifest", ears / "val_teacher.npy")
    assert result.exit_code == 0, result.output
    assert "no baselines: /gone/train.npy" in result.stdout
    alone = tmp_path / "alone.ckpt"
    moved.rename(alone)
    fails(ear("evaluate", "--checkpoint", alone), "alone.ckpt lies in no run folder", "--output")


@pytest.mark.parametrize("name", ["nowhere.ckpt", "cut.ckpt", "picture.ckpt", "nan.ckpt"])
def test_a_checkpoint_that_cannot_be_used_is_one_line(run: RunFolder, tmp_path: Path, name: str) -> None:
    whole = run.best()[0].path.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.ckpt", format="PNG")
    checkpoint = torch.load(run.best()[0].path, weights_only=True)
    checkpoint["state_dict"]["average.decoder.expand.weight"][0, 0] = torch.nan
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    fails(ear("evaluate", "--checkpoint", tmp_path / name, "--output", tmp_path / "out"), name)
    assert not (tmp_path / "out").exists()
