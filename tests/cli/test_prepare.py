"""`ear prepare`: from raw images and annotations to a set without leaks."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw import coco, fill
from running import ear

from earcli.data.manifest import read_manifest


def test_a_source_without_images_names_the_extensions_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_text("")
    (tmp_path / "b.HEIC").write_text("")
    result = ear("prepare", tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "No images in" in result.stderr
    assert ".jpg" in result.stderr
    assert "got .heic (2)" in result.stderr
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


@pytest.mark.parametrize(("task", "count"), [("teacher", 4), ("detector", 3), ("landmarks", 2)])
def test_each_task_selects_the_ears_with_its_labels(tmp_path: Path, task: str, count: int) -> None:
    names = fill(tmp_path / "raw" / "a", 2)
    points = {"keypoints": [20, 30, 2, 40, 50, 2, 0, 0, 0]}
    (tmp_path / "raw" / "a" / "x.coco.json").write_text(coco(names, [[1, 1, 70, 90]] * 2, **points))
    names = fill(tmp_path / "raw" / "b", 1, 10)
    (tmp_path / "raw" / "b" / "y.coco.json").write_text(coco(names, [[1, 1, 70, 90]]))
    fill(tmp_path / "raw" / "c", 1, 20)
    result = ear("prepare", tmp_path / "raw", "--task", task, "--output", tmp_path / "out", "--split", 0.5)
    assert result.exit_code == 0, result.output
    for kind in (".npy", ".csv", ".coco.json"):
        parts = [read_manifest(tmp_path / "out" / f"{part}_{task}{kind}") for part in ("train", "val")]
        assert sum(map(len, parts)) == count
    assert sum(sum(k is not None for k in part.keypoints or []) for part in parts) == 2


def test_at_most_five_exclusions_are_printed(tmp_path: Path) -> None:
    fill(tmp_path / "raw", 5)
    for number in range(7):
        (tmp_path / "raw" / f"broken{number}.png").write_text("no image")
    result = ear("prepare", tmp_path / "raw", "--output", tmp_path / "out")
    lines = [line for line in result.stdout.splitlines() if line.startswith("left out")]
    assert len(lines) == 6
    assert lines[-1] == "left out 7 in total; left_out.csv lists them"


def test_an_interrupted_scan_says_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "raw", 3)

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("earcli.curation.preparation.find_near_duplicates", interrupt)
    result = ear("prepare", tmp_path / "raw", "--output", tmp_path / "out")
    assert result.exit_code == 130
    assert result.stdout == "stopped; the same command continues where it was\n"
    assert (tmp_path / ".out.scan.jsonl").is_file()
    assert not (tmp_path / "out").exists()


def test_what_is_written_is_the_same_every_time_and_readable_by_the_original_code(ears: Path, tmp_path: Path) -> None:
    shutil.copytree(ears, tmp_path / "raw")
    for name in ("one", "two"):
        result = ear("prepare", tmp_path / "raw", "--output", tmp_path / name, "--seed", 5)
        assert result.exit_code == 0, result.output
    assert re.search(r"24 ears for training, 6 for validation", result.stdout)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["contact_sheet.png", "data_card.md", "left_out.csv", "train_teacher.coco.json",
                     "train_teacher.csv", "train_teacher.npy", "val_teacher.coco.json", "val_teacher.csv",
                     "val_teacher.npy"]  # fmt: skip
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    content = np.load(tmp_path / "one" / "train_teacher.npy", allow_pickle=True).item()
    assert len(content["image_paths"]) == len(content["bboxes"]) == 24
    assert (tmp_path / "one" / content["image_paths"][0]).is_file()
    with (tmp_path / "one" / "train_teacher.csv").open() as file:
        row = next(csv.DictReader(file))
    assert list(row) == ["image_path", "x", "y", "width", "height", "subject", "checksum", "source"]
    card = (tmp_path / "one" / "data_card.md").read_text()
    assert "| ears | 24 | 6 |" in card
    assert str(tmp_path) not in card
    assert not list(tmp_path.glob(".*"))  # the scan log was removed


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--task", "segment"], ["--task must be one of teacher, detector, landmarks"]),
        (["--split", "1"], ["--split must be more than 0 and less than 1, got 1.0."]),
        (["--num-workers", "0"], ["--num-workers must be 1 or more, got 0."]),
        (["--seed", "-1"], ["--seed must be 0 or more, got -1."]),
        (["--root-dir", "nowhere"], ["--root-dir nowhere is not a folder"]),
        (["--subject", "abc"], ["--subject 'abc' has no group"]),
        (["--task", "landmarks"], ["None of 3 ears can be used for --task landmarks: no keypoints (3)"]),
        (["--output", "{raw}"], ["is not empty"]),
        (["--output", "{raw}/000.png/x"], ["cannot be written"]),
        (["nowhere"], ["nowhere does not exist"]),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(tmp_path: Path, options: list[str], parts: list[str]) -> None:
    raw = tmp_path / "raw"
    fill(raw, 3)
    before = sorted(p.name for p in raw.iterdir())
    out = [] if "--output" in options else ["--output", tmp_path / "out"]
    result = ear("prepare", raw, *out, *(option.format(raw=raw) for option in options))
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
    assert sorted(p.name for p in raw.iterdir()) == before
    assert not (tmp_path / "out").exists()


def test_a_prepared_set_trains(ears: Path, tmp_path: Path) -> None:
    assert ear("prepare", ears, "--output", tmp_path / "set").exit_code == 0
    options = ["--preset", "tiny", "--latent-dim", 8, "--batch-size", 4, "--precision", "32", "--epochs", 1]
    limits = ["--limit-train", 8, "--limit-val", 4, "--run-dir", tmp_path / "runs"]
    manifests = ["--train-manifest", tmp_path / "set" / "train_teacher.csv", "--val-manifest",
                 tmp_path / "set" / "val_teacher.coco.json"]  # fmt: skip
    result = ear("train", *options, *limits, *manifests)
    assert result.exit_code == 0, result.output
    assert "8 training ears, 4 validation ears" in result.stdout
