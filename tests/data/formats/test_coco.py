"""Tests of `earcli/data/formats/coco.py`."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from tables import saved

from earcli.data.formats.coco import write_coco
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.registry import read_columns
from earcli.data.manifest import read_manifest

# what Roboflow exports: key points as COCO JSON, with a category 0 that nothing uses
ROBOFLOW_COCO = {
    "info": {"year": "2024", "version": "1", "description": "Exported from roboflow.com"},
    "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
    "categories": [
        {"id": 0, "name": "ears", "supercategory": "none"},
        {"id": 1, "name": "ear", "supercategory": "ears", "keypoints": ["top", "tragus", "lobe"], "skeleton": [[1, 2]]},
    ],
    "images": [{"id": 0, "license": 1, "file_name": "a.jpg", "height": 427, "width": 640, "date_captured": "2024"}],
    "annotations": [
        {"id": 0, "image_id": 0, "category_id": 1, "bbox": [273.1, 59.54, 165.52, 279.08], "area": 46193.3,
         "segmentation": [], "iscrowd": 0, "keypoints": [310.34, 75, 2, 300, 200.5, 1, 0, 0, 0]},
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0},
    ],
}  # fmt: skip


def test_coco_gives_a_sample_an_annotation_with_boxes_and_key_points(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path / "_annotations.coco.json", ROBOFLOW_COCO))
    assert manifest.paths == ["a.jpg", "a.jpg"]
    assert manifest.boxes.tolist() == [[273.1, 59.54, 165.52, 279.08], [10, 20, 30, 40]]
    assert manifest.keypoints is not None
    assert manifest.keypoints[1] is None
    points = manifest.keypoints[0]
    assert points is not None
    assert points.names == ("top", "tragus", "lobe")
    assert points.labeled().tolist() == [[310.34, 75], [300, 200.5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, "bbox is [1, 2, 3], expected [x, y, width, height]"),
        ({"bbox": None}, "bbox is None, expected a list of numbers"),
        ({"bbox": ["1", 2, 3, 4]}, "expected a list of numbers"),
        ({"bbox": [10**400, 2, 3, 4]}, "expected a list of numbers"),
        ({"keypoints": [1, 2]}, "keypoints has 2 numbers"),
        ({"keypoints": [1, 2, 2]}, "keypoints has 1 points, but the category names 3"),
        ({"keypoints": [1, 2, float("nan")] * 3}, "not all finite"),
        ({"image_id": 9}, "image_id 9 is none of the images"),
    ],
)
def test_a_bad_annotation_is_refused_and_the_others_are_read(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    first, second = ROBOFLOW_COCO["annotations"]
    content = {**ROBOFLOW_COCO, "annotations": [{**second, **change}, first]}  # type: ignore[dict-item]
    refused: list[str] = []
    read = read_columns(saved(tmp_path / "m.json", content), refused.append)[1]
    assert len(read.paths) == 1
    assert len(refused) == 1
    assert "m.json, annotations[0]: " in refused[0]
    assert message in refused[0]


def test_an_evaluator_finds_every_written_ear_and_the_ids_of_the_images(tmp_path: Path) -> None:
    """Two ears on one picture and one on another; the scores differ beyond the fourth digit."""
    ears = Columns(
        ["b.jpg", "b.jpg", "a.jpg"],
        np.array([[1.5, 2, 30, 40], [50, 60.25, 30, 40], [5, 6, 70, 80]]),
        keypoints=[Keypoints(("tip",), np.array([[9.25, 9, 2]]))] * 3,
        image_ids=[7, 7, 3],
    )
    scores = [0.700001, 0.700002, 0.700003]
    write_coco(tmp_path / "truth.json", ears, [(90, 120)] * 3)
    write_coco(tmp_path / "found.json", ears, [(90, 120)] * 3, scores)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "truth.json"))
        annotations = json.loads((tmp_path / "found.json").read_text())["annotations"]
        found = truth.loadRes(annotations)
        for kind in ("bbox", "keypoints"):
            evaluator = COCOeval_faster(truth, found, kind, kpt_oks_sigmas=[0.1])
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
            assert evaluator.stats[0] == pytest.approx(1)
    assert [item["score"] for item in annotations] == scores
    assert truth.loadImgs([7])[0]["file_name"] == "b.jpg"
    assert len(truth.getAnnIds([7])) == 2
    assert read_manifest(tmp_path / "truth.json").image_ids == [7, 7, 3]
