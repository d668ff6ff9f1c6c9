"""From a teacher to a detector, as a user does it: fine-tune, stop, resume, evaluate, predict, export, compare."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import ear, fails

from earcli.checkpoints.runs import find_checkpoint
from earcli.exporting.runtime import OnnxModel, to_images
from earcli.models.detector import EarDetector


def test_the_newest_run_of_a_kind_is_found(detector: Path, teacher: Path) -> None:
    best = find_checkpoint("best", detector, "detector")
    assert best.parent.parent.parent.name == "ear_detector"
    assert find_checkpoint("best", teacher.parents[3], "teacher") == teacher
    fails(ear("embed", "x", "-o", "y.npz", "--run-dir", detector), "x does not exist")
    fails(ear("eigenears", "--run-dir", detector), "No run in", "has last.ckpt. Train first (ear train)")
    fails(ear("predict", teacher.parent, "--run-dir", teacher.parents[3]), "No images in")
    fails(ear("eigenears", "--checkpoint", best), "is a detector's checkpoint, expected a teacher's")


@pytest.mark.slow
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
