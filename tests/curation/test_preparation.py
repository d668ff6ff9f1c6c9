"""Tests of `earcli/curation/preparation.py`."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageOps
from raw import coco, fill, picture

from earcli.curation.preparation import PreparedSet, PrepareOptions, prepare_set
from earcli.data.manifest import write_manifest


def ready(*sources: Path, **options: Any) -> PreparedSet:
    return prepare_set(list(sources), PrepareOptions(num_workers=2, **options))


def used(prepared: PreparedSet) -> list[str]:
    return sorted({sample.label for sample in prepared.samples})


def reasons(prepared: PreparedSet) -> dict[str, str]:
    return {item.path or item.source: item.reason for item in prepared.left_out}


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
    assert "no label in the file" in reasons(prepared)["raw/coco/012.png"]


def test_broken_items_are_listed_and_never_stop_the_rest(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    fill(raw, 3)
    fill(raw / "pts", 2, 10)
    (raw / "001.png").write_bytes((raw / "001.png").read_bytes()[:500])
    (raw / "002.png").write_text("no picture")
    (raw / "pts" / "010.pts").write_text("version: 1\n{\n1\n}\n")
    (raw / "pts" / "gone.pts").write_text("version: 1\n{\n1 1\n}\n")
    os.mkfifo(raw / "pipe.png")
    fill(raw / "table", 3, 20)
    (raw / "table" / "_annotations.csv").write_text(
        "image_path,x,y,w,h\n020.png,1,1,40,40\n020.png,x,1,40,40\n021.png,1,1,40,40\n022.png,1,1,40,40\n"
    )
    prepared = ready(raw)
    assert used(prepared) == ["raw/000.png"] + [f"raw/table/{name}.png" for name in ("020", "021", "022")]
    left_out = reasons(prepared)
    assert "unreadable" in left_out["raw/001.png"]
    assert "not a picture" in left_out["raw/002.png"]
    assert "010.pts, line 3" in left_out["raw/pts/010.pts"]
    assert left_out["gone"] == "no image with that name is beside it"
    assert "no label in the file" in left_out["raw/pts/010.png"]  # which does not come back as a whole ear
    assert "no label in the file" in left_out["raw/pts/011.png"]
    assert left_out["raw/pipe.png"] == "unreadable (not a regular file)"
    assert "line 3: the box is 'x'" in left_out["raw/table/_annotations.csv"]


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


def test_avif_images_are_collected(tmp_path: Path) -> None:
    for number in range(3):
        picture(number).save(tmp_path / f"{number}.avif")
    assert used(ready(tmp_path)) == [f"{tmp_path.name}/{number}.avif" for number in range(3)]
