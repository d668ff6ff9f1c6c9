"""Tests of `earcli/curation/checks.py`."""

import json
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from planting import Plan, plant

import earcli


def check_faults(paths: list[Path]) -> Counter[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        result = earcli.check(paths, output=folder, num_workers=2)
    return Counter((finding.kind, paths[finding.part].stem, finding.path) for finding in result.findings)


def judge(plan: Plan, tolerance: float) -> None:
    """Every planted fault is reported; at most a fraction `tolerance` of the samples is reported without one.

    An uncertain side is no fault, so it is counted separately.
    """
    reported = check_faults(plan.write())
    assert len({kind for kind, _, _ in plan.planted}) >= 20
    missed = [fault for fault in plan.planted if not reported[fault]]
    assert missed == []
    names = {name for _, _, name in plan.planted}
    alarms = [fault for fault in reported if fault[2] not in names and fault[0] != "side-doubtful"]
    doubtful = [fault for fault in reported if fault[0] == "side-doubtful"]
    total = sum(map(len, plan.rows.values()))
    assert len({fault[2] for fault in alarms}) <= tolerance * total, alarms
    assert len(doubtful) <= 0.02 * total


def test_planted_faults_are_found_among_drawn_ears(drawn: Path, tmp_path: Path) -> None:
    clean = sorted((drawn / "images").iterdir())
    judge(plant(tmp_path / "set", clean), 0)


@pytest.mark.real
def test_planted_faults_are_found_among_real_ears_with_few_false_alarms(real_ears: Path, tmp_path: Path) -> None:
    every = sorted((real_ears / "images").rglob("*.jpg"))
    judge(plant(tmp_path / "set", random.Random(0).sample(every, 800)), 0.01)


def coco_of(folder: Path) -> Path:
    return folder / "train_landmarks.coco.json"


def test_key_points_outside_their_box_and_in_an_unusual_layout_are_found(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "ears")
    assert not {kind for kind, _, _ in check_faults([coco_of(drawn)])} & {"points-outside", "points-layout"}
    content = json.loads(coco_of(drawn).read_text())
    points = [np.array(a["keypoints"], float).reshape(-1, 3) for a in content["annotations"]]
    points[3][:, 0] += 90  # the right shape in the wrong place
    points[7] = np.roll(points[7], 5, axis=0)  # the right places in the wrong order
    points[11][4, :2] = points[11][12, :2]  # one point put on another
    points[15][:, 2] = 0  # none labeled: nothing to say about
    for annotation, rows in zip(content["annotations"], points, strict=True):
        annotation["keypoints"] = rows.ravel().tolist()
    coco_of(tmp_path / "ears").write_text(json.dumps(content))
    reported = check_faults([coco_of(tmp_path / "ears")])
    names = [image["file_name"] for image in content["images"]]
    assert {(kind, name) for kind, _, name in reported if kind.startswith("points")} == {
        ("points-outside", names[3]),
        ("points-layout", names[7]),
        ("points-layout", names[11]),
    }
