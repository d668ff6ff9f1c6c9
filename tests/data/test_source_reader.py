"""Tests of `earcli/data/source_reader.py`: no label is lost, moved or invented without a word."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw import NO_SUBJECTS, coco, fill, picture

from earcli.data.cache import Skipped, write_skipped
from earcli.data.embeddings import Embeddings, EncoderInfo, write_embeddings
from earcli.data.samples import SourceContents
from earcli.data.sources import collect_samples
from earcli.errors import DataError, LabelError


def collect(*sources: Path, **options: Any) -> SourceContents:
    return collect_samples(list(sources), NO_SUBJECTS, **options)


def boxes(contents: SourceContents) -> dict[str, tuple[float, ...]]:
    return {Path(sample.path).name: sample.box for sample in contents.samples}


def reasons(contents: SourceContents) -> dict[str, str]:
    return {item.path or item.source: item.reason for item in contents.left_out}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_the_layout_of_cvat_finds_the_images_beside_the_annotations(tmp_path: Path) -> None:
    names = fill(tmp_path / "images", 3)
    file = write(tmp_path / "annotations" / "instances_default.json", coco(names, [[1, 2, 30, 40]] * 3))
    assert boxes(collect(tmp_path)) == dict.fromkeys(names, (1, 2, 30, 40))
    assert boxes(collect(file)) == dict.fromkeys(names, (1, 2, 30, 40))


def test_an_image_id_of_two_images_is_refused(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "0.png")
    picture(1).save(tmp_path / "0.jpg")
    images = [{"id": 0, "file_name": "0.jpg"}, {"id": 0, "file_name": "0.png"}]
    write(tmp_path / "labels.json", {"images": images, "annotations": [{"id": 1, "image_id": 0, "bbox": [1, 2, 3, 4]}]})
    with pytest.raises(LabelError, match=r"image id 0 stands for '0.jpg' and '0.png'"):
        collect(tmp_path)


def test_ids_match_across_types(tmp_path: Path) -> None:
    names = fill(tmp_path, 3)
    images = [{"id": value, "file_name": name} for value, name in zip(["0", 1, 2.0], names, strict=True)]
    annotations = [{"id": i, "image_id": i, "bbox": [i + 1, 2, 30, 40]} for i in range(3)]
    write(tmp_path / "labels.json", {"images": images, "annotations": annotations})
    assert boxes(collect(tmp_path)) == {name: (i + 1, 2, 30, 40) for i, name in enumerate(names)}


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("0 ear.png", "images/0%20ear.png"),
        ("0.png", "images\\0.png"),
        ("0.PNG", "images/0.png"),
        ("caf\u00e9.png", "images/cafe\u0301.png"),
        ("0.png", "/data/upload/3/0a1b2c3d-0.png"),
        ("0.png", "/data/local-files/?d=set/images/0.png"),
        ("0.png", "https://host/bucket/0.png?token=1"),
        ("0.png", "C:\\Users\\kim\\images\\0.png"),
    ],
)
def test_names_are_found_however_they_are_spelled(tmp_path: Path, file: str, named: str) -> None:
    fill(tmp_path / "images", 1, 5)
    picture(0).save(tmp_path / "images" / file)
    write(tmp_path / "labels.json", coco([named, "images/005.png"], [[1, 2, 30, 40], [5, 6, 30, 40]]))
    assert boxes(collect(tmp_path)) == {file: (1, 2, 30, 40), "005.png": (5, 6, 30, 40)}


def test_a_name_in_another_folder_is_not_the_same_image(tmp_path: Path) -> None:
    fill(tmp_path / "b", 2)
    write(tmp_path / "labels.json", coco(["a/000.png", "b/001.png"], [[1, 2, 30, 40], [5, 6, 30, 40]]))
    contents = collect(tmp_path)
    assert boxes(contents) == {"001.png": (5, 6, 30, 40)}
    assert reasons(contents)["a/000.png"] == "not at that path; the image of that name is in b, not a"


def test_two_names_of_one_image_are_both_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "images", 2)
    names = ["/data/upload/1/000.png", "/data/upload/2/000.png", "001.png"]
    write(tmp_path / "labels.json", coco(names, [[1, 2, 30, 40], [5, 6, 30, 40], [7, 8, 30, 40]]))
    contents = collect(tmp_path)
    assert boxes(contents) == {"001.png": (7, 8, 30, 40)}
    assert "2 names in the file stand for" in reasons(contents)[names[0]]
    assert "2 names in the file stand for" in reasons(contents)[names[1]]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("labels.json", "{\n!", "line 2: not JSON"),
        ("labels.json", {"images": [], "annotations": []}, "has no label that can be used: no labels"),
        ("labels.json", coco(["gone.png"], [[1, 2, 3, 4]]), "has no label that can be used: no such file"),
        ("labels.json", {"000.png": [1, 2, 3, 4]}, "Found 1 label files of a kind that ear does not read"),
        ("labels.csv", "file;ear_box\n000.png;1 2 3 4\n", "Found 1 label files of a kind"),
        ("000.mat", "points", "Found 1 label files of a kind"),
        ("labels.xml", "<a><b file='000.png'/></a>", "Found 1 label files of a kind"),
        ("labels.json", '{"\\u0030\\u0030\\u0030.png": 1}', "Found 1 label files of a kind"),
        ("labels.txt", "1 000.png 1 2 3 4\n2 001.png 1 2 3 4\n", "Found 1 label files of a kind"),
        ("labels.xlsx", "PK", "Found 1 label files of a kind"),
    ],
)
def test_a_file_that_looks_like_labels_but_gives_none_stops(
    tmp_path: Path, file: str, content: Any, message: str
) -> None:
    names = fill(tmp_path, 3)
    write(tmp_path / file, content)
    with pytest.raises(LabelError, match=message):
        collect(tmp_path)
    assert list(boxes(collect(tmp_path, whole_pictures=True))) == names


def test_other_files_are_no_labels(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)
    write(tmp_path / "README.txt", "The ears of 2 people.")
    write(tmp_path / "package.json", {"name": "ears"})
    write(tmp_path / "000.xmp", "<x/>")
    write(tmp_path / "000.CR2", "raw")
    (tmp_path / "Thumbs.db").write_bytes(b"0")
    assert list(boxes(collect(tmp_path))) == names


def test_images_that_a_file_governs_are_no_whole_ears(tmp_path: Path) -> None:
    names = fill(tmp_path / "a", 2) + fill(tmp_path / "a" / "deep", 1, 5)
    fill(tmp_path / "b", 1, 9)
    write(tmp_path / "a" / "labels.json", coco([names[0]], [[1, 2, 30, 40]]))
    contents = collect(tmp_path)
    assert list(boxes(contents)) == ["000.png", "009.png"]
    assert all("no label in the file that governs its folder" in reason for reason in reasons(contents).values())
    assert len(contents.left_out) == 2


def test_boxes_in_fractions_are_scaled_and_said(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)  # of 90×120 pixels
    write(tmp_path / "labels.json", coco(names, [[0.1, 0.1, 0.5, 0.5], [0.2, 0.25, 0.5, 0.5]]))
    contents = collect(tmp_path)
    assert boxes(contents)["000.png"] == pytest.approx((9, 12, 45, 60))
    assert contents.notes == [f"{tmp_path.name}/labels.json: 2 of 2 labels scaled from fractions"]


@pytest.mark.parametrize(
    ("stated", "expected", "note"),
    [
        ((90, 120), (10, 20, 30, 40), ""),
        ((180, 240), (5, 10, 15, 20), "scaled by 0.5"),
        ((100, 300), None, "the labels are of a picture of 100×300 pixels, but this one has 90×120"),
        ((120, 90), None, "no EXIF orientation that explains it"),
    ],
)
def test_the_stated_size_must_be_the_images(
    tmp_path: Path, stated: tuple[int, int], expected: tuple[float, ...] | None, note: str
) -> None:
    fill(tmp_path, 2)
    images = [
        {"id": 0, "file_name": "000.png", "width": stated[0], "height": stated[1]},
        {"id": 1, "file_name": "001.png", "width": 90, "height": 120},
    ]
    annotations = [{"id": i, "image_id": i, "bbox": [10, 20, 30, 40]} for i in range(2)]
    write(tmp_path / "labels.json", {"images": images, "annotations": annotations})
    contents = collect(tmp_path)
    assert boxes(contents).get("000.png") == expected
    assert note in " ".join([*contents.notes, *reasons(contents).values()])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_on_stored_pixels_turn_with_exif(tmp_path: Path, orientation: int) -> None:
    image = Image.new("L", (120, 90))
    image.paste(255, (10, 20, 40, 60))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    images = [{"id": 0, "file_name": "a.png", "width": 120, "height": 90}]
    points = {"keypoints": [10, 20, 2, 39, 59, 2], "bbox": [10, 20, 30, 40]}
    content = {"images": images, "annotations": [{"id": 1, "image_id": 0, **points}]}
    write(tmp_path / "labels.json", content)
    contents = collect(tmp_path)
    (sample,) = contents.samples
    from earcli.data.images import read_picture

    upright = read_picture(tmp_path / "a.png").convert("L")
    left, top, right, bottom = upright.getbbox() or (0, 0, 0, 0)
    assert sample.box == (left, top, right - left, bottom - top)
    assert sample.keypoints is not None
    xy = sample.keypoints.labeled()
    assert sorted(map(tuple, [xy.min(0), xy.max(0)])) == [(left, top), (right - 1, bottom - 1)]
    assert "turned as EXIF says" in contents.notes[0]


def test_crowds_and_annotations_without_a_labeled_point_are_no_ears(tmp_path: Path) -> None:
    names = fill(tmp_path, 3)
    content = json.loads(coco(names, [[1, 2, 30, 40]] * 3))
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1] |= {"bbox": None, "keypoints": [0, 0, 0]}
    write(tmp_path / "labels.json", content)
    contents = collect(tmp_path)
    assert list(boxes(contents)) == ["002.png"]
    text = " ".join(item.reason for item in contents.left_out)
    assert "iscrowd is set" in text
    assert "no point is labeled, and there is no bbox" in text


def test_a_category_is_chosen_where_there_are_several(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)
    content = json.loads(coco(names, [[1, 2, 30, 40], [5, 6, 30, 40]]))
    content["categories"] = [{"id": 1, "name": "ear"}, {"id": 2, "name": "face"}]
    content["annotations"][1]["category_id"] = 2
    write(tmp_path / "labels.json", content)
    with pytest.raises(LabelError, match=r"several categories: ear \(1\), face \(1\)"):
        collect(tmp_path)
    assert boxes(collect(tmp_path, category="ear")) == {"000.png": (1, 2, 30, 40)}
    assert len(collect(tmp_path, category="ear,face").samples) == 2
    with pytest.raises(LabelError, match="No label has the `category` nose"):
        collect(tmp_path, category="nose")


def test_results_of_ear_are_no_raw_data(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)
    write(tmp_path / "data" / "set" / "data_card.md", "# Data card")
    picture(9).save(tmp_path / "data" / "set" / "contact_sheet.png")
    write(tmp_path / "report" / "check.json", {"findings": []})
    picture(8).save(tmp_path / "report" / "worst.png")
    write_skipped(tmp_path / "ears-skipped.csv", [Skipped(-1, names[0], "truncated")])
    vectors = np.zeros((2, 2), np.float32)
    info = EncoderInfo("00ff", "best.ckpt", "encoder", "fp32", 64)
    write_embeddings(tmp_path / "ears.csv", Embeddings(vectors, names, np.full((2, 4), np.nan), ["", ""], None, info))
    contents = collect(tmp_path)
    assert list(boxes(contents)) == names
    assert reasons(contents) == {
        f"{tmp_path.name}/{folder}": "a folder of results that ear wrote" for folder in ("data/set", "report")
    }


def test_a_format_that_is_not_read_is_listed(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    write(tmp_path / "x.HEIC", "not read")
    assert "pillow-heif" in reasons(collect(tmp_path))[f"{tmp_path.name}/x.HEIC"]
    with pytest.raises(DataError, match=r"got .heic \(1\). First of 1 reasons: .HEIC is not read; install pillow-heif"):
        collect(tmp_path / "x.HEIC")


def test_one_picture_is_read_whatever_lies_beside_it(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)
    write(tmp_path / "labels.json", coco(names[:1], [[1, 2, 30, 40]]))
    assert [sample.path for sample in collect(tmp_path / names[0]).samples] == [str(tmp_path / names[0])]
    assert np.isnan(collect(tmp_path / names[0]).samples[0].box).all()


def test_pts_that_may_count_from_zero_are_named(tmp_path: Path) -> None:
    for name, x in zip(fill(tmp_path, 3), (0, 1, 5), strict=True):
        write(tmp_path / f"{name[:3]}.pts", f"version: 1\nn_points: 2\n{{\n{x} 5\n20 30\n}}\n")
    contents = collect(tmp_path)
    assert contents.notes == [
        f"{tmp_path.name}/: 1 of 3 labels shifted by a pixel because PTS counts from 1, although coordinates below 1 "
        "suggest a count from 0"
    ]
    assert [sample.keypoints.points[0, 0] for sample in contents.samples if sample.keypoints] == [-1, 0, 4]
