"""`ear prepare`: from raw images and annotations to a set without leaks."""

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from running import ear

import earcli
from earcli.curation.box_geometry import box_iou
from earcli.curation.merge import merge_samples
from earcli.curation.preparation import PreparedSet, PrepareOptions, prepare_set
from earcli.curation.scan import scan
from earcli.curation.sources import collect_samples
from earcli.curation.split import split_groups
from earcli.curation.subjects import parse_subject_rule
from earcli.data.formats.columns import Keypoints
from earcli.data.manifest import read_manifest, write_manifest
from earcli.errors import ConfigError, DataError

NO_SUBJECTS = parse_subject_rule("none")


def picture(seed: int, size: tuple[int, int] = (90, 120)) -> Image.Image:
    """A sharp image unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)


def fill(folder: Path, count: int, first: int = 0) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}.png" for number in range(first, first + count)]
    for number, name in enumerate(names, first):
        picture(number).save(folder / name)
    return names


def coco(names: list[str], boxes: list[Any], **more: Any) -> str:
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": box, **more}
        for i, box in enumerate(boxes)
        if box is not None
    ]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": []})


def ready(*sources: Path, **options: Any) -> PreparedSet:
    return prepare_set(list(sources), PrepareOptions(num_workers=2, **options))


def used(prepared: PreparedSet) -> list[str]:
    return sorted({sample.label for sample in prepared.samples})


def reasons(prepared: PreparedSet) -> dict[str, str]:
    return {item.path or item.source: item.reason for item in prepared.left_out}


# -- collecting


def test_folders_and_annotations_of_every_format_are_combined(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    fill(raw / "plain" / "deep", 2)
    names = fill(raw / "coco", 3, 10)
    (raw / "coco" / "_annotations.coco.json").write_text(coco(names[:2], [[1, 2, 50, 60], [3, 4, 50, 60]]))
    fill(raw / "csv", 2, 20)
    (raw / "csv" / "my_annotations.csv").write_text(
        "filename,xmin,ymin,xmax,ymax\n020.png,5,5,45,45\n020.png,50,60,80,90\n"
    )
    fill(raw / "pts", 1, 30)
    (raw / "pts" / "030.pts").write_text("version: 1\nn_points: 2\n{\n31 41\n71 81\n}\n")
    names = fill(raw / "npy", 2, 40)
    write_manifest(raw / "npy" / "train.npy", names, [[0, 0, 40, 40], None])
    prepared = ready(raw)
    boxes = [(s.label, tuple(np.round(s.box, 6))) for s in prepared.samples]
    whole = (np.nan,) * 4
    expected = [
        ("raw/coco/010.png", (1, 2, 50, 60)),
        ("raw/coco/011.png", (3, 4, 50, 60)),
        ("raw/csv/020.png", (5, 5, 40, 40)),
        ("raw/csv/020.png", (50, 60, 30, 30)),
        ("raw/npy/040.png", (0, 0, 40, 40)),
        ("raw/npy/041.png", whole),
        ("raw/plain/deep/000.png", whole),
        ("raw/plain/deep/001.png", whole),
        ("raw/pts/030.png", (26, 36, 48, 48)),  # 40 pixels between the points, and a tenth of that on every side
    ]
    assert [name for name, _ in boxes] == [name for name, _ in expected]
    np.testing.assert_array_equal([box for _, box in boxes], [box for _, box in expected])
    assert set(reasons(prepared)) == {"raw/coco/012.png", "raw/csv/021.png"}
    assert "names other images in its folder" in reasons(prepared)["raw/coco/012.png"]


def test_a_picture_that_is_not_beside_its_annotation_is_found_by_its_name(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "a", 2)
    fill(tmp_path / "images" / "b", 1)  # a second 000.png
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.coco.json").write_text(
        coco(["images\\001.png", "000.png", "zzz.png"], [[1, 2, 30, 40]] * 3)
    )
    contents = collect_samples([tmp_path], NO_SUBJECTS)
    assert {s.path for s in contents.samples if s.box == (1, 2, 30, 40)} == {str(tmp_path / "images" / "a" / "001.png")}
    assert {item.path: item.reason for item in contents.left_out[:2]} == {
        "000.png": "not beside it, and 2 images have that name",
        "zzz.png": "no such file",
    }
    assert contents.left_out[2].path.endswith("images/a/000.png")  # beside one that is labeled


@pytest.mark.parametrize("name", ["../secret.png", "{outside}/secret.png", "a/../../secret.png"])
def test_a_path_that_leaves_the_source_through_an_annotation_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "raw", 2)
    shutil.copy(tmp_path / "raw" / "000.png", tmp_path / "secret.png")
    path = name.format(outside=tmp_path)
    (tmp_path / "raw" / "_annotations.csv").write_text(f"image_path\n{path}\n001.png\n000.png\n")
    contents = collect_samples([tmp_path / "raw"], NO_SUBJECTS)
    assert [s.label for s in contents.samples] == ["raw/001.png", "raw/000.png"]
    assert contents.left_out[0].path == path
    assert "the path leaves" in contents.left_out[0].reason
    allowed = collect_samples([tmp_path / "raw"], NO_SUBJECTS, tmp_path)
    assert ("secret.png" in {Path(s.path).name for s in allowed.samples}) == name.startswith("{")


def test_cyclic_links_names_in_any_script_and_hidden_files(tmp_path: Path) -> None:
    raw = tmp_path / 'my "raw" ears'
    for number, name in enumerate(["耳 朵.png", "أذن.png", "it's.png", "=1+1.png", os.fsdecode(b"\xff.png"), ".x.png"]):
        (raw / "sub").mkdir(parents=True, exist_ok=True)
        picture(number).save(raw / "sub" / name)
    (raw / "sub" / "loop").symlink_to(raw)
    (raw / "loop").symlink_to(raw / "sub")
    (raw / "nowhere.png").symlink_to(raw / "not-there.png")
    result = ear("prepare", raw, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = [read_manifest(tmp_path / "out" / f"{part}_teacher{kind}") for part in ("train", "val") for kind in
            (".npy", ".csv")]  # fmt: skip
    assert len(rows[0]) + len(rows[2]) == 5
    for npy, table in (rows[:2], rows[2:]):
        assert npy.paths == table.paths
        assert all(npy.locate(i).is_file() for i in range(len(npy)))
    with (tmp_path / "out" / "left_out.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [['my "raw" ears/nowhere.png', 'my "raw" ears', "no such file"]]


def test_a_source_without_images_names_the_extensions_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_text("")
    (tmp_path / "b.HEIC").write_text("")
    result = ear("prepare", tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "No images in" in result.stderr
    assert ".jpg" in result.stderr
    assert "got .heic (2)" in result.stderr
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_broken_items_are_listed_and_never_stop_the_rest(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    fill(raw, 6)
    (raw / "001.png").write_bytes((raw / "001.png").read_bytes()[:500])
    (raw / "002.png").write_text("no picture")
    (raw / "003.pts").write_text("version: 1\n{\n1\n}\n")
    (raw / "004.png").unlink()
    (raw / "004.pts").write_text("version: 1\n{\n1 1\n}\n")
    os.mkfifo(raw / "pipe.png")
    for name in ("json", "table"):
        fill(raw / name, 1, 20)
    (raw / "json" / "_annotations.coco.json").write_text("{\n\n!")
    (raw / "table" / "_annotations.csv").write_text("image_path,x,y,w,h\n020.png,1,1,40,40\n020.png,x,1,40,40\n")
    prepared = ready(raw)
    assert used(prepared) == ["raw/000.png", "raw/005.png", "raw/table/020.png"]
    left_out = reasons(prepared)
    assert "unreadable" in left_out["raw/001.png"]
    assert "not a picture" in left_out["raw/002.png"]
    assert "003.pts, line 3" in left_out["raw/003.png"]
    assert left_out["raw/004.pts"] == "no image with that name is beside it"
    assert left_out["raw/pipe.png"] == "unreadable (not a regular file)"
    assert "line 3: not JSON" in left_out["raw/json/_annotations.coco.json"]
    assert left_out["raw/json/020.png"] == "_annotations.coco.json beside it cannot be read"
    assert "line 3: the box is 'x'" in left_out["raw/table/_annotations.csv"]


@pytest.mark.parametrize(
    ("text", "path", "subject"),
    [
        ("none", "007/x.jpg", ""),
        ("folder", "a/007/x.jpg", "007"),
        ("folder", "x.jpg", ""),
        (r"(\d+)_\d+\.jpg", "a/012_3.jpg", "012"),
        (r"^(\w+)/", "kim/left/1.jpg", "kim"),
        (r"(\d+)_", "a.jpg", ""),
        (r"(x)?\.jpg", "a.jpg", ""),
    ],
)
def test_subjects_come_from_folders_or_names_when_asked(text: str, path: str, subject: str) -> None:
    assert parse_subject_rule(text)(path) == subject


@pytest.mark.parametrize(("text", "message"), [("(", "or a regular expression"), ("abc", "has no group")])
def test_a_subject_pattern_that_cannot_work_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_subject_rule(text)


# -- several sources about one picture


def two_sources(folder: Path, one: Any, two: Any) -> PreparedSet:
    names = fill(folder / "raw", 5)
    everyone: list[Any] = [[10, 10, 60, 80]] * 4
    (folder / "raw" / "a.coco.json").write_text(coco(names, [one, *everyone]))
    (folder / "raw" / "b.coco.json").write_text(coco(names, [two, *everyone]))
    return ready(folder / "raw")


def test_two_sources_that_agree_give_one_ear(tmp_path: Path) -> None:
    prepared = two_sources(tmp_path, [10, 10, 60, 80], [10.4, 9.6, 60, 80])
    assert len(prepared.samples) == 5
    assert not prepared.left_out


def test_two_sources_that_disagree_leave_the_picture_out(tmp_path: Path) -> None:
    prepared = two_sources(tmp_path, [10, 10, 60, 80], [30, 40, 40, 40])
    assert len(prepared.samples) == 4
    assert reasons(prepared) == {
        "raw/000.png": "raw/a.coco.json has an ear at [10, 10, 60, 80], raw/b.coco.json has none there but one at "
        "[30, 40, 40, 40]"
    }


def test_sources_that_name_different_people_leave_the_picture_out(tmp_path: Path) -> None:
    names = fill(tmp_path, 3)
    for name, who in (("a", "kim"), ("b", "lee")):
        rows = "".join(f"{n},{who if n == '000.png' else 'max'}\n" for n in names)
        (tmp_path / f"{name}_annotations.csv").write_text("image_path,subject\n" + rows)
    kept, left_out = merge_samples(collect_samples([tmp_path], NO_SUBJECTS).samples)
    assert [Path(s.path).name for s in kept] == names[1:]
    assert "different subjects: 'kim', 'lee'" in left_out[0].reason


def test_key_points_of_one_source_and_the_box_of_another_make_one_ear(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)
    (tmp_path / "_annotations.coco.json").write_text(coco(names, [[10, 10, 60, 80]] * 2))
    (tmp_path / "000.pts").write_text("version: 1\nn_points: 2\n{\n16 16\n66 86\n}\n")
    kept, left_out = merge_samples(collect_samples([tmp_path], NO_SUBJECTS).samples)
    assert not left_out
    assert [s.box for s in kept] == [(10, 10, 60, 80)] * 2
    assert isinstance(kept[0].keypoints, Keypoints)


def test_box_iou_is_intersection_over_union() -> None:
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 10, 10])
    assert box_iou(a, b) == pytest.approx(50 / 150)
    assert box_iou(a, a) == 1
    assert box_iou(a, np.array([20.0, 0, 10, 10])) == 0
    assert box_iou(a, np.full(4, np.nan)) == 0


# -- splitting


def test_a_split_keeps_groups_together_depends_on_the_seed_and_has_about_the_given_fraction() -> None:
    groups = np.random.default_rng(0).integers(0, 60, 1000)
    is_validation = split_groups(groups, 0.8, 3)
    assert not set(groups[is_validation]) & set(groups[~is_validation])
    assert abs(is_validation.mean() - 0.2) < 0.02
    np.testing.assert_array_equal(is_validation, split_groups(groups, 0.8, 3))
    assert (is_validation != split_groups(groups, 0.8, 4)).any()
    assert split_groups(np.array([0, 0, 1]), 0.9, 0).tolist() == [False, False, True]
    with pytest.raises(DataError, match="All 3 ears are related"):
        split_groups(np.zeros(3, int), 0.5, 0)


def test_related_ears_stay_in_one_part(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for person in range(8):
        fill(raw / f"p{person}", 4, 10 * person)
    for person in range(4):  # 0 and 1 share a picture, saved anew, mirrored, smaller; so do 2 and 3
        image = picture(10 * person)
        changed = [image.resize((60, 80)), ImageOps.mirror(image)][person // 2]
        changed.convert("RGB").save(raw / f"p{person ^ 1}" / f"x{person}.jpg", quality=60)
    for seed in range(5):
        prepared = ready(raw, subject="folder", seed=seed)
        parts: dict[str, set[bool]] = {}
        for sample, part in zip(prepared.samples, prepared.is_validation, strict=True):
            parts.setdefault(sample.subject, set()).add(bool(part))
        assert all(len(part) == 1 for part in parts.values())
        assert parts["p0"] == parts["p1"]
        assert parts["p2"] == parts["p3"]
    assert prepared.lookalikes == 8
    assert prepared.subjects == 8


def test_copies_of_a_file_are_left_out_and_boxes_are_clipped(tmp_path: Path) -> None:
    fill(tmp_path / "raw", 4)
    shutil.copy(tmp_path / "raw" / "001.png", tmp_path / "raw" / "copy.png")
    rows = ["000.png,-5,100,50,30", "001.png,,,,", "copy.png,,,,", "002.png,80,110,200,300", "003.png,20,30,90,120"]
    (tmp_path / "raw" / "_annotations.csv").write_text("\n".join(["image_path,x,y,w,h", *rows]))
    prepared = ready(tmp_path / "raw")
    assert [s.box for s in prepared.samples if s.box[0] == s.box[0]] == [(0, 100, 45, 20)]
    left_out = reasons(prepared)
    assert left_out["raw/copy.png"] == "the same image as raw/001.png"
    assert "lies mostly outside" in left_out["raw/002.png"]
    assert "only as xmin, ymin, xmax, ymax" in left_out["raw/003.png"]


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


def test_avif_images_are_collected(tmp_path: Path) -> None:
    for number in range(3):
        picture(number).save(tmp_path / f"{number}.avif")
    assert used(ready(tmp_path)) == [f"{tmp_path.name}/{number}.avif" for number in range(3)]


# -- the task and the command


def test_the_task_returns_what_it_wrote_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "raw", 5)
    (tmp_path / "raw" / "broken.png").write_text("no image")
    result = earcli.prepare(tmp_path / "raw", tmp_path / "out", seed=3)
    assert capsys.readouterr() == ("", "")
    assert (result.train_count, result.val_count) == (4, 1)
    assert result.train_manifest == tmp_path / "out" / "train_teacher.npy"
    assert {result.train_manifest, result.val_manifest} < set(result.manifests)
    assert len(read_manifest(result.train_manifest)) == 4
    assert [item.path for item in result.left_out] == ["raw/broken.png"]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {path.name for path in result.manifests} | {"data_card.md", "contact_sheet.png", "left_out.csv"}


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


def test_a_killed_scan_continues_and_notices_files_that_changed(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in fill(tmp_path, 6)]
    boxes, scan_log = np.full((6, 4), np.nan), tmp_path / "scan.jsonl"
    first = scan(paths[:3], boxes[:3], 2, None, scan_log)
    with scan_log.open("a") as file:
        file.write('["half a li')
    picture(99).save(paths[1])
    seen: list[tuple[str, int, int]] = []
    second = scan(paths, boxes, 2, lambda *args: seen.append(args), scan_log)
    assert (second[0], second[2]) == (first[0], first[2])
    assert second[1] != first[1]
    assert second == scan(paths, boxes, 2)
    assert seen == [("opening images", 6, 6)]
    scan(paths, boxes, 2, lambda *args: seen.append(args), scan_log)
    assert len(seen) == 1  # every image was in the log


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
