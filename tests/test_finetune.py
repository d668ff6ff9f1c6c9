"""From a teacher to a detector, as a user does it: fine-tune, stop, resume, evaluate, predict, export, compare."""

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from fitting import Recorder
from PIL import Image
from running import ear, fails

from earcli.checkpoints.runs import RunFolder, find_checkpoint
from earcli.config.detector import FinetuneConfig
from earcli.data.views import view_dataset
from earcli.errors import InterruptedTraining
from earcli.exporting.runtime import OnnxModel, to_images
from earcli.models.detector import EarDetector
from earcli.models.vae import EarVAE
from earcli.tasks.detectors import build_detector, read_label_sets
from earcli.training.loop import train_detector


@pytest.fixture
def config(ears: Path, teacher: Path, tmp_path: Path) -> FinetuneConfig:
    """Two epochs of two steps, fp32."""
    return FinetuneConfig(
        checkpoint=str(teacher),
        train_manifest=ears / "train_landmarks.coco.json",
        val_manifest=ears / "val_landmarks.coco.json",
        run_dir=tmp_path / "runs",
        epochs=2,
        epoch_steps=2,
        batch_size=4,
        labels=6,
        precision="32",
        num_workers=2,
    )


def fit(config: FinetuneConfig, report: Recorder | None = None) -> RunFolder:
    report = report or Recorder()
    train, val = read_label_sets(config, report)
    model, config = build_detector(config, train.names)
    varied, plain = (
        view_dataset(labels, 64, 0.1, vary=vary, folder=config.run_dir / ".cache", workers=2)[0]
        for labels, vary in ((train, True), (val, False))
    )
    return train_detector(config, model, varied, plain, (), report)[0]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    content = torch.load(run.last, weights_only=True)
    moments = content["optimizer_states"][0]["state"]
    flat = {f"{number}.{name}": value for number, state in moments.items() for name, value in state.items()}
    return {**content["state_dict"], **flat}


@pytest.fixture(scope="module")
def detector(ears: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a detector that has hardly learned. Not to be written into."""
    folder = tmp_path_factory.mktemp("detector") / "runs"
    sets = ("--train-manifest", ears / "train_landmarks.coco.json", "--val-manifest", ears / "val_landmarks.coco.json")
    steps = ("--epochs", 2, "--epoch-steps", 2, "--batch-size", 4, "--precision", 32)
    result = ear("finetune", "--checkpoint", teacher, *sets, *steps, "--run-dir", folder)
    assert result.exit_code == 0, result.output
    assert "24 labeled training ears, 6 validation ears; 17 landmarks" in result.stdout
    assert f"teacher {teacher}" in result.stdout
    assert "epoch 1  train_loss" in result.stdout
    assert "NME" in result.stdout
    return folder


def test_a_run_has_what_every_run_has(detector: Path) -> None:
    run = RunFolder(detector / "ear_detector" / "version_0")
    assert run.kind == "detector"
    names = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert {"metrics.csv", "hparams.yaml", "checkpoints/last.ckpt", "predictions/epoch_001.png"} <= names
    with run.metrics.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert {"val/nme", "val/iou", "val/ap", "val/ap50", "val/auc", "train/landmark", "val/box"} <= set(rows[0])
    knobs = torch.load(run.last, weights_only=True)["hyper_parameters"]
    assert (knobs["landmarks"], knobs["image_size"], knobs["resnet_version"]) == (17, 64, "resnet18")
    assert knobs["landmark_names"].startswith("helix_root,helix_front")


def test_a_run_that_stops_and_resumes_equals_one_that_did_not_bit_for_bit(config: FinetuneConfig) -> None:
    whole = fit(config)
    interrupted = Recorder(lambda e, b: os.kill(os.getpid(), signal.SIGINT) if (e, b) == (1, 1) else None)
    with pytest.raises(InterruptedTraining) as stopped:
        fit(replace(config, run_name="stopped"), interrupted)
    assert stopped.value.last is not None
    run = RunFolder.of(stopped.value.last)
    assert ear("resume", run.last).exit_code == 0
    first, second = weights(whole), weights(run)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_it_learns_where_the_points_are(config: FinetuneConfig) -> None:
    report = Recorder()
    fit(replace(config, labels=4, augment="none", epoch_steps=12), report)
    first, last = report.records
    assert last["train/landmark"] < 0.5 * first["train/landmark"]
    assert last["train/box"] < 0.7 * first["train/box"]


def test_the_newest_run_of_a_kind_is_found(detector: Path, teacher: Path) -> None:
    best = find_checkpoint("best", detector, "detector")
    assert best.parent.parent.parent.name == "ear_detector"
    assert find_checkpoint("best", teacher.parents[3], "teacher") == teacher
    fails(ear("embed", "x", "-o", "y.npz", "--run-dir", detector), "x does not exist")
    fails(ear("eigenears", "--run-dir", detector), "No run in", "has last.ckpt. Train first (ear train)")
    fails(ear("predict", teacher.parent, "--run-dir", teacher.parents[3]), "No picture in")
    fails(ear("eigenears", "--checkpoint", best), "is a detector's checkpoint, expected a teacher's")


def test_predictions_are_drawn_and_written_down(detector: Path, ears: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.open(ears / "images" / f"ear_0000{number}.jpg").save(tmp_path / "in" / f"=1+{number}.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    out, crops = tmp_path / "out", tmp_path / "crops"
    result = ear("predict", tmp_path / "in", "--run-dir", detector, "-o", out, "--crops", crops, "--threshold", 0)
    assert result.exit_code == 0, result.output
    assert "broken.jpg: not a picture that Pillow can read" in result.stdout
    content = json.loads((out / "predictions.json").read_text())
    assert len(content["images"]) == len(content["annotations"]) == 3
    assert content["categories"][0]["keypoints"][0] == "helix_root"
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for annotation, row in zip(content["annotations"], rows, strict=True):
        assert len(annotation["keypoints"]) == 51
        assert 0 <= annotation["score"] <= 1
        assert float(row["helix_root_x"]) == pytest.approx(annotation["keypoints"][0], abs=0.01)
    names = {"=1+0.jpg", "=1+1.jpg", "=1+2.jpg"}
    assert {p.name for p in (out / "pictures").iterdir()} == {p.name for p in crops.iterdir()} == names
    with Image.open(out / "pictures" / "=1+0.jpg") as picture:
        assert picture.size == (160, 208)
    again = ear("predict", tmp_path / "in", "--run-dir", detector, "-o", out, "--json")
    assert json.loads(again.stdout)["pictures"] == 3
    again = ("predict", tmp_path / "in", "--run-dir", detector, "-o")
    fails(ear(*again, tmp_path / "in"), "holds files that ear predict did not put there")
    fails(ear(*again, out, "--crops", out / "crops"), "which is replaced as a whole")


def test_a_manifests_boxes_are_looked_into(detector: Path, ears: Path, tmp_path: Path) -> None:
    source = ears / "val_landmarks.coco.json"
    assert ear("predict", source, "--run-dir", detector, "-o", tmp_path / "out").exit_code == 0
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    labels = json.loads(source.read_text())
    for found, wanted in zip(content["annotations"], labels["annotations"], strict=True):
        x, y, width, height = wanted["bbox"]
        points = np.array(found["keypoints"]).reshape(-1, 3)
        assert (points[:, 0] > x - 0.1 * width - 1).all()
        assert (points[:, 1] < y + 1.1 * height + 1).all()
    chained = ear("predict", tmp_path / "out" / "predictions.json", "--run-dir", detector, "-o", tmp_path / "again")
    assert "6 pictures" in chained.stdout


def test_a_bad_row_of_a_manifest_is_skipped_and_the_others_are_found(
    detector: Path, ears: Path, tmp_path: Path
) -> None:
    rows = ["image_path,x,y,w,h", f"{ears}/images/ear_00000.jpg,10,10,90,120", "gone.jpg,1,1,5,5"]
    rows.append(f"{ears}/images/ear_00001.jpg,900,900,9,9")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    result = ear("predict", tmp_path / "boxes.csv", "--run-dir", detector, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "gone.jpg: no such file" in result.stdout
    assert "lies outside the picture of 160×208 pixels" in result.stdout
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["annotations"]) == 1


def test_an_evaluation_gives_the_figures_of_training_and_draws_the_worst(detector: Path, tmp_path: Path) -> None:
    run = RunFolder(detector / "ear_detector" / "version_0")
    result = ear("evaluate", "--checkpoint", run.last, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    with run.metrics.open() as file:
        last = list(csv.DictReader(file))[-1]
    for name in ("nme", "iou", "ap", "auc"):
        assert metrics[name] == pytest.approx(float(last[f"val/{name}"]), rel=1e-4)
    assert metrics["nme_low"] <= metrics["nme"] <= metrics["nme_high"]
    assert 0 < metrics["nme_of_mean_shape"] < 1
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "per_image.csv", "report.html", "worst.png", "errors.png"}
    again = ("evaluate", "--checkpoint", run.last, "-o", tmp_path / "x")
    fails(ear(*again, "--normalize", "1,99"), "points 1 to 17")
    fails(ear(*again, "--fail-under-psnr", 20), "--fail-under-psnr cannot be used", "is a detector")


def test_an_exported_detector_gives_the_same_numbers(detector: Path, ears: Path, tmp_path: Path) -> None:
    target = tmp_path / "detector.onnx"
    result = ear("export", "--part", "detector", "--run-dir", detector, "-o", target)
    assert result.exit_code == 0, result.output
    assert "20 real crops at batches 1, 2, 5" in result.stdout
    model = OnnxModel(target)
    assert model.metadata.points.split(",")[0] == "helix_root"
    with Image.open(ears / "images" / "ear_00000.jpg") as picture:
        pixels = np.asarray(picture.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))[None]
    found = model(to_images(pixels))
    with torch.no_grad():
        boxes, keypoints = EarDetector.load_from_checkpoint(find_checkpoint("best", detector, "detector"))(
            torch.from_numpy(to_images(pixels))
        )
    assert found["boxes"] == pytest.approx(boxes.numpy(), abs=1e-5, rel=1e-5)
    assert found["keypoints"] == pytest.approx(keypoints.numpy(), abs=1e-5)
    fails(
        ear("export", "--part", "detector", "--precision", "int8", "--run-dir", detector),
        "detector's --format must be onnx or pt2",
    )


def test_starts_are_compared_on_the_same_ears(ears: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    result = ear(
        "compare-init", "--manifest", ears / "val_landmarks.coco.json", "--checkpoint", teacher, "--budgets", "2,3",
        "--seeds", 1, "--folds", 2, "--steps", 1, "-o", out, "--run-dir", tmp_path / "runs", "--starts", "none,frozen",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "6 labeled ears in 6 groups, 8 detectors to train" in result.stdout
    with (out / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == 8
    assert sum(int(t["ears"]) for t in trials if (t["start"], t["labels"]) == ("none", "2")) == 6
    with (out / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["start"], row["labels"]) for row in rows] == [
        ("none", "2"),
        ("frozen", "2"),
        ("none", "3"),
        ("frozen", "3"),
    ]
    assert (out / "curve.png").stat().st_size > 0
    assert not list((tmp_path / "runs").glob("ear_detector*")), "detectors that were compared are not kept"


def test_boxes_alone_and_whole_pictures_can_be_learned(ears: Path, teacher: Path, tmp_path: Path) -> None:
    rows = [f"{ears}/{name},5,5,120,170" for name in ("images/ear_00000.jpg", "images/ear_00001.jpg")]
    (tmp_path / "boxes.csv").write_text("\n".join(["filename,xmin,ymin,xmax,ymax", *rows]))
    (tmp_path / "streets").mkdir()
    Image.new("RGB", (90, 70)).save(tmp_path / "streets" / "a.png")
    sets = ("--train-manifest", tmp_path / "boxes.csv", "--val-manifest", tmp_path / "boxes.csv")
    more = ("--view", "picture", "--backgrounds", tmp_path / "streets", "--epochs", 1, "--epoch-steps", 1)
    where = ("--run-dir", tmp_path / "runs", "--checkpoint", teacher, "--batch-size", 3)
    result = ear("finetune", *sets, *more, *where)
    assert result.exit_code == 0, result.output
    assert "2 labeled training ears (and 1 pictures without an ear), 2 validation ears; 0 landmarks" in result.stdout
    assert "NME" not in result.stdout
    result = ear("evaluate", "--run-dir", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert "IoU" in result.stdout


def test_other_starts(config: FinetuneConfig, tmp_path: Path, teacher: Path) -> None:
    small = {"teacher_size": 64, "latent_dim": 8, "resnet_version": "resnet18"}
    nothing, settled = build_detector(replace(config, init="none", **small), ("a", "b"))  # type: ignore[arg-type]
    assert (settled.latent_dim, settled.teacher_size, settled.resnet_version) == (8, 64, "resnet18")
    assert settled.point_names == ("a", "b")
    # a batch norm counts what it has seen
    assert EarVAE.load_from_checkpoint(teacher).encoder.stem[1].num_batches_tracked > 0
    assert nothing.encoder.stem[1].num_batches_tracked == 0
    assert build_detector(config, ("a",))[0].encoder.stem[1].num_batches_tracked > 0
    trunk = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(trunk, tmp_path / "trunk.pth")
    given = replace(config, init="imagenet", weights=str(tmp_path / "trunk.pth"), **small)  # type: ignore[arg-type]
    assert torch.equal(build_detector(given, ("a",))[0].encoder.stem[0].weight, trunk["conv1.weight"])


def test_every_mistake_is_one_line(teacher: Path, ears: Path, detector: Path, tmp_path: Path) -> None:
    sets = ("--train-manifest", ears / "train_landmarks.coco.json", "--val-manifest", ears / "val_landmarks.coco.json")
    tune = ("finetune", "--run-dir", tmp_path / "runs", *sets)
    fails(ear(*tune), "No run in", "has best. Train first (ear train)")
    fails(ear(*tune, "--checkpoint", teacher, "--landmarks", 5), "17 points, expected 5", "--landmarks")
    fails(ear(*tune, "--checkpoint", teacher, "--latent-dim", 5), "--latent-dim is 5, but the teacher's is 8")
    fails(ear(*tune, "--checkpoint", teacher, "--landmark-names", "a,b"), "has 2 names, but the labels have 17 points")
    fails(ear(*tune, "--checkpoint", find_checkpoint("best", detector, "detector")), "is a detector's checkpoint")
    fails(ear("finetune", "--train-manifest", tmp_path / "no.json"), "no.json does not exist")
    fails(ear(*tune, "--init", "none", "--freeze-encoder"), "--freeze-encoder needs a teacher")
    fails(ear("evaluate", "--checkpoint", teacher, "--normalize", "crop"), "--normalize cannot be used", "is a teacher")
    fails(ear("predict", ears, "--checkpoint", teacher, "-o", tmp_path / "p"), "is a teacher's checkpoint")
    compare = ("compare-init", "--manifest", ears / "val_landmarks.coco.json", "--checkpoint", teacher)
    fails(ear(*compare, "-o", tmp_path / "c", "--budgets", "x"), "--budgets must be numbers of labels")
    fails(ear(*compare, "-o", tmp_path / "c", "--budgets", "9"), "--budgets has 9 labels", "a fold has")
    fails(ear(*compare, "-o", tmp_path / "c", "--folds", "9"), "--folds is 9, but there are 6 groups")
    fails(ear(*compare, "-o", tmp_path / "c", "--starts", "luck"), "--starts must be one of none, teacher")
    last = detector / "ear_detector" / "version_0" / "checkpoints" / "last.ckpt"
    fails(ear("resume", last, "--epochs", 2), "has all of its 2 epochs")
