"""Tests of `earcli/data/label_files.py`: the layouts of annotation tools, as `prepare` and `finetune` read them."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw import fill

from earcli import check
from earcli.data.inputs import collect_pictures
from earcli.data.labels import read_labels
from earcli.data.sources import collect_samples
from earcli.errors import LabelError

SIZE = (90, 120)
BOXES = [[10.0, 20.0, 30.0, 40.0], [12.5, 24.25, 31.5, 44.75], [5.0, 6.0, 70.0, 80.0]]
POINTS = [[[15.0, 25.0], [30.0, 50.0]], [[20.0, 30.0], [33.5, 60.25]], [[10.0, 20.0], [60.0, 70.0]]]
NAMES = ["tip", "lobe"]
WITHOUT_POINTS = {"voc", "csv of corners", "csv with a decimal comma", "coco of polygons"}
WITHOUT_NAMES = {"yolo", "pts beside", "pts in a sibling folder", "tps", "via json of points"}
WITHOUT_BOXES = {"pts beside", "pts in a sibling folder", "tps", "via json of points"}


def dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def corners(box: list[float]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def coco_content(folder: str = "", **changes: Any) -> dict[str, Any]:
    annotations = [
        {
            "id": i + 1,
            "image_id": i,
            "category_id": 1,
            "bbox": BOXES[i],
            "keypoints": [v for point in POINTS[i] for v in (*point, 2)],
            "iscrowd": 0,
            **changes,
        }
        for i in range(3)
    ]
    images = [{"id": i, "file_name": f"{folder}{i:03d}.png", "width": 90, "height": 120} for i in range(3)]
    categories = [{"id": 1, "name": "ear", "keypoints": NAMES, "skeleton": []}]
    return {"images": images, "annotations": annotations, "categories": categories}


def cvat_coco(root: Path) -> None:
    fill(root / "images", 3)
    dump(root / "annotations" / "person_keypoints_default.json", coco_content())


def fiftyone_coco(root: Path) -> None:
    fill(root / "data", 3)
    dump(root / "labels.json", coco_content())


def label_studio_coco(root: Path) -> None:
    fill(root / "images", 3)
    content = coco_content("images\\")
    for item in content["images"]:
        item["id"] = str(item["id"])
    dump(root / "result.json", content)


def polygon_coco(root: Path) -> None:
    fill(root, 3)
    content = coco_content(bbox=None, keypoints=None)
    for item, box in zip(content["annotations"], BOXES, strict=True):
        left, top, right, bottom = corners(box)
        item["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
    dump(root / "polygons.json", content)


def cvat(root: Path) -> None:
    fill(root / "images" / "default", 3)
    images = []
    for i in range(3):
        left, top, right, bottom = corners(BOXES[i])
        points = "".join(
            f'<points label="{name}" source="manual" outside="0" occluded="0" points="{x},{y}"></points>'
            for name, (x, y) in zip(NAMES, POINTS[i], strict=True)
        )
        images.append(
            f'<image id="{i}" name="default/{i:03d}.png" subset="default" task_id="1" width="90" height="120">'
            f'<box label="ear" source="manual" occluded="0" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" '
            f'z_order="0" group_id="4"></box><skeleton label="ear" source="manual" z_order="0" group_id="4">{points}'
            "</skeleton></image>"
        )
    dump(root / "annotations.xml", f"<annotations><version>1.1</version><meta></meta>{''.join(images)}</annotations>")


def label_studio(root: Path) -> None:
    fill(root / "images", 3)
    tasks = []
    for i in range(3):
        sides = {"original_width": 90, "original_height": 120, "image_rotation": 0, "to_name": "image"}
        left, top, width, height = (100 * v / s for v, s in zip(BOXES[i], SIZE * 2, strict=True))
        value = {"x": left, "y": top, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["ear"]}
        result = [{"id": f"r{i}", "type": "rectanglelabels", "from_name": "label", "value": value, **sides}]
        for name, (x, y) in zip(NAMES, POINTS[i], strict=True):
            dot = {"x": 100 * x / 90, "y": 100 * y / 120, "width": 0.3, "keypointlabels": [name]}
            result.append(
                {
                    "id": f"{i}{name}",
                    "type": "keypointlabels",
                    "from_name": "kp",
                    "value": dot,
                    "parentID": f"r{i}",
                    **sides,
                }
            )
        data = {"image": f"/data/upload/7/0123abcd-{i:03d}.png"}
        tasks.append({"id": i, "data": data, "annotations": [{"id": i, "was_cancelled": False, "result": result}]})
    dump(root / "project-7-at-2026.json", tasks)


def label_studio_min(root: Path) -> None:
    label_studio(root)
    tasks = json.loads((root / "project-7-at-2026.json").read_text())
    small = []
    for task in tasks:
        regions = task["annotations"][0]["result"]
        flat = [{**r["value"], **{k: r[k] for k in ("original_width", "original_height")}} for r in regions]
        entry = {"id": task["id"], "annotation_id": 1, "annotator": 1, "lead_time": 2.5}
        small.append({"image": task["data"]["image"], "label": flat[:1], "kp": flat[1:], **entry})
    dump(root / "project-7-at-2026.json", small)


def labelme(root: Path) -> None:
    fill(root, 3)
    for i in range(3):
        left, top, right, bottom = corners(BOXES[i])
        shapes = [
            {"label": "ear", "points": [[right, bottom], [left, top]], "group_id": None, "shape_type": "rectangle"}
        ]
        shapes += [
            {"label": name, "points": [point], "group_id": None, "shape_type": "point"}
            for name, point in zip(NAMES, POINTS[i], strict=True)
        ]
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"..\\set\\{i:03d}.png"}
        dump(root / f"{i:03d}.json", {**content, "imageData": None, "imageHeight": 120, "imageWidth": 90})


def yolo(root: Path) -> None:
    fill(root / "train" / "images", 3)
    dump(root / "data.yaml", "train: ../train/images\nnc: 1\nnames: ['ear']\nkpt_shape: [2, 3]\n")
    dump(root / "README.roboflow.txt", "3 images were exported, for example 000.png")
    for i in range(3):
        left, top, width, height = BOXES[i]
        numbers = [(left + width / 2) / 90, (top + height / 2) / 120, width / 90, height / 120]
        numbers += [v for x, y in POINTS[i] for v in (x / 90, y / 120, 2)]
        dump(root / "train" / "labels" / f"{i:03d}.txt", " ".join(["0", *map(repr, numbers)]) + "\n")


def voc(root: Path) -> None:
    fill(root / "JPEGImages", 3)
    for i in range(3):
        keys = zip(("xmin", "ymin", "xmax", "ymax"), corners(BOXES[i]), strict=True)
        box = "".join(f"<{key}>{value}</{key}>" for key, value in keys)
        dump(
            root / "Annotations" / f"{i:03d}.xml",
            f"<annotation><folder>VOC</folder><filename>{i:03d}.png</filename><size><width>90</width>"
            f"<height>120</height><depth>3</depth></size><object><name>ear</name><pose>Unspecified</pose>"
            f"<bndbox>{box}</bndbox></object></annotation>",
        )


def via_entries() -> list[tuple[str, list[tuple[dict[str, Any], dict[str, Any]]]]]:
    entries = []
    for i in range(3):
        left, top, width, height = BOXES[i]
        rect = {"name": "rect", "x": left, "y": top, "width": width, "height": height}
        regions: list[tuple[dict[str, Any], dict[str, Any]]] = [(rect, {"type": "ear"})]
        for name, (x, y) in zip(NAMES, POINTS[i], strict=True):
            regions.append(({"name": "point", "cx": x, "cy": y}, {"type": name}))
        entries.append((f"{i:03d}.png", regions))
    return entries


def via_json(root: Path) -> None:
    fill(root, 3)
    metadata = {
        f"{name}123": {
            "filename": name,
            "size": 123,
            "regions": [{"shape_attributes": shape, "region_attributes": labels} for shape, labels in regions],
            "file_attributes": {},
        }
        for name, regions in via_entries()
    }
    dump(root / "via_project_2026.json", {"_via_settings": {}, "_via_img_metadata": metadata, "_via_attributes": {}})


def via_points(root: Path) -> None:
    fill(root, 3)
    content = {
        f"{name}123": {
            "filename": name,
            "size": 123,
            "regions": {
                str(n): {"shape_attributes": s, "region_attributes": {}} for n, (s, _) in enumerate(regions[1:])
            },
        }
        for name, regions in via_entries()
    }
    dump(root / "via_region_data.json", content)


def via_csv(root: Path) -> None:
    fill(root, 3)
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        [
            "filename",
            "file_size",
            "file_attributes",
            "region_count",
            "region_id",
            "region_shape_attributes",
            "region_attributes",
        ]
    )
    for name, regions in via_entries():
        for number, (shape, labels) in enumerate(regions):
            table.writerow([name, 123, "{}", len(regions), number, json.dumps(shape), json.dumps(labels)])
    dump(root / "via_export_csv.csv", text.getvalue())


def dlib(root: Path) -> None:
    fill(root / "pictures", 3)
    images = []
    for i in range(3):
        left, top, width, height = BOXES[i]
        parts = "".join(f'<part name="{n}" x="{x}" y="{y}"/>' for n, (x, y) in zip(NAMES, POINTS[i], strict=True))
        images.append(
            f"<image file='pictures/{i:03d}.png' width='90' height='120'><box top='{top}' left='{left}' "
            f"width='{width}' height='{height}'>{parts}</box></image>"
        )
    dump(root / "training.xml", f"<dataset><name>ears</name><images>{''.join(images)}</images></dataset>")


def pts(folder: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        fill(root / "images", 3)
        for i in range(3):
            lines = "\n".join(f"{x + 1} {y + 1}" for x, y in POINTS[i])  # which count from 1
            dump(root / folder / f"{i:03d}.pts", f"version: 1\nn_points: 2\n{{\n{lines}\n}}\n")

    return write


def tps(root: Path) -> None:
    fill(root, 3)
    blocks = []
    for i in range(3):
        lines = "\n".join(f"{x} {120 - y}" for x, y in POINTS[i])  # which count from the lower edge
        blocks.append(f"LM=2\n{lines}\nIMAGE={i:03d}.png\nID={i}\nSCALE=0.5\n")
    dump(root / "ears.tps", "".join(blocks))


def csv_corners(root: Path) -> None:
    fill(root / "images", 3)
    rows = [f"images/{i:03d}.png,90,120,ear,{','.join(map(repr, corners(BOXES[i])))}" for i in range(3)]
    dump(root / "ears.csv", "\n".join(["filename,width,height,class,x_min,y_min,x_max,y_max", *rows]))


def csv_decimal_comma(root: Path) -> None:
    fill(root, 3)
    rows = [";".join([f"{i:03d}.png", *(repr(v).replace(".", ",") for v in BOXES[i])]) for i in range(3)]
    dump(root / "ears.csv", "\n".join(["File Name;Left;Top;Width;Height", *rows]))


def csv_points(root: Path) -> None:
    fill(root, 3)
    rows = [
        ",".join([f"{i:03d}.png", *map(repr, BOXES[i]), *(repr(v) for p in POINTS[i] for v in p)]) for i in range(3)
    ]
    dump(root / "ears.csv", "\n".join(["image,x,y,w,h,tip_x,tip_y,lobe_x,lobe_y", *rows]))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "coco of cvat": cvat_coco,
    "coco of fiftyone": fiftyone_coco,
    "coco of label studio": label_studio_coco,
    "coco of polygons": polygon_coco,
    "cvat": cvat,
    "label studio": label_studio,
    "label studio, minimal": label_studio_min,
    "labelme": labelme,
    "yolo": yolo,
    "voc": voc,
    "via project": via_json,
    "via json of points": via_points,
    "via csv": via_csv,
    "dlib": dlib,
    "pts beside": pts("images"),
    "pts in a sibling folder": pts("labels"),
    "tps": tps,
    "csv of corners": csv_corners,
    "csv with a decimal comma": csv_decimal_comma,
    "csv of points": csv_points,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_a_tool_gives_every_label_on_its_own_picture(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path / "set")
    contents = collect_samples([tmp_path / "set"], lambda below: "")
    assert not contents.left_out
    samples = sorted(contents.samples, key=lambda sample: sample.path)
    assert [Path(sample.path).name for sample in samples] == ["000.png", "001.png", "002.png"]
    for sample, box, points in zip(samples, BOXES, POINTS, strict=True):
        if layout in WITHOUT_BOXES:
            assert np.isnan(sample.box).all()
        else:
            np.testing.assert_allclose(sample.box, box, atol=1e-9)
        if layout in WITHOUT_POINTS:
            assert sample.keypoints is None
            continue
        assert sample.keypoints is not None
        assert sample.keypoints.names == (("1", "2") if layout in WITHOUT_NAMES else tuple(NAMES))
        np.testing.assert_allclose(sample.keypoints.labeled(), points, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_detector_learns_from_the_same_labels(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path / "set")
    labels = read_labels(tmp_path / "set")
    assert len(labels) == 3
    assert not labels.skipped
    order = np.argsort([Path(path).name for path in labels.manifest.paths])
    if layout not in WITHOUT_BOXES:
        np.testing.assert_allclose(labels.manifest.boxes[order], BOXES, atol=1e-9)
    if layout not in WITHOUT_POINTS:
        np.testing.assert_allclose(labels.points[order][..., :2], POINTS, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_embed_and_check_see_the_same_ears(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path / "set")
    ears = collect_pictures([tmp_path / "set"], None, pytest.fail)
    assert sorted(Path(path).name for path in ears.paths) == ["000.png", "001.png", "002.png"]
    if layout not in WITHOUT_BOXES:
        np.testing.assert_allclose(ears.boxes[np.argsort(ears.paths)], BOXES, atol=1e-9)
    result = check(tmp_path / "set", output=tmp_path / "report")
    assert (result.ears, result.harmful) == ([3], 0)


def test_each_data_yaml_describes_the_labels_below_it(tmp_path: Path) -> None:
    for name, classes in (("a", "[ear, face]"), ("b", "[face, ear]")):
        fill(tmp_path / "set" / name / "images", 1)
        dump(tmp_path / "set" / name / "data.yaml", f"names: {classes}")
        dump(tmp_path / "set" / name / "labels" / "000.txt", "0 0.5 0.5 0.5 0.5")
    contents = collect_samples([tmp_path / "set"], lambda below: "", category="ear")
    assert [sample.label for sample in contents.samples] == ["set/a/images/000.png"]
    assert collect_samples([tmp_path / "set" / "b" / "data.yaml"], lambda below: "").samples[0].box == (
        22.5,
        30,
        45,
        60,
    )
    fill(tmp_path / "set" / "images", 1, 7)
    dump(tmp_path / "set" / "labels" / "007.txt", "0 0.5 0.5 0.5 0.5")
    with pytest.raises(LabelError, match=r"set/labels/007.txt lies below none of 2 data.yaml"):
        collect_samples([tmp_path / "set"], lambda below: "", category="ear")


def test_a_data_yaml_that_cannot_be_read_stops(tmp_path: Path) -> None:
    fill(tmp_path / "set" / "images", 1)
    dump(tmp_path / "set" / "labels" / "000.txt", "0 0.5 0.5 0.5 0.5")
    dump(tmp_path / "set" / "other.yaml", "nothing: of YOLO")
    assert len(collect_samples([tmp_path / "set"], lambda below: "").samples) == 1
    dump(tmp_path / "set" / "data.yaml", "names: [ear")
    with pytest.raises(LabelError, match=r"data.yaml is not YAML"):
        collect_samples([tmp_path / "set"], lambda below: "")


def test_classes_without_names_are_not_all_ears(tmp_path: Path) -> None:
    fill(tmp_path / "set" / "images", 2)
    dump(tmp_path / "set" / "labels" / "000.txt", "0 0.5 0.5 0.5 0.5")
    dump(tmp_path / "set" / "labels" / "001.txt", "1 0.5 0.5 0.5 0.5")
    with pytest.raises(LabelError, match=r"several categories: 0 \(1\), 1 \(1\)"):
        collect_samples([tmp_path / "set"], lambda below: "")
