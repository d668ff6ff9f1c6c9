"""Tests of `earcli/curation/side_checks.py`."""

from pathlib import Path

import numpy as np
import pytest

from earcli.curation.scan import scan
from earcli.curation.side_checks import find_side_faults
from earcli.curation.split_part import SplitPart
from earcli.data.manifest import Manifest, read_manifest
from earcli.synthetic.dataset import read_factors, write_set


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> SplitPart:
    """160 drawn ears with their sides, the first of which is wrong."""
    folder = tmp_path_factory.mktemp("sides") / "set"
    write_set(folder, 200, seed=3)
    manifest = read_manifest(folder / "train_teacher.npy")
    left = read_factors(folder, manifest.paths)["left"].astype(bool)
    left[0] = not left[0]
    labeled = Manifest(**{**vars(manifest), "sides": ["left" if value else "right" for value in left]})
    files = [manifest.locate(row) for row in range(len(manifest))]
    return SplitPart(0, Path("train.csv"), labeled, scan(files, manifest.boxes, 2), [])


def test_a_wrong_label_is_found(part: SplitPart) -> None:
    found = [finding for finding in find_side_faults([part]) if finding.kind == "side-label"]
    assert 0 in {finding.row for finding in found}
    assert len(found) <= 3
    side = part.manifest.side(0)
    other = {"left": "right", "right": "left"}[side]
    assert next(f.detail for f in found if f.row == 0) == f"labeled as a {side} ear, looks like a {other} one"


def test_without_labels_uncertain_ears_are_listed(part: SplitPart) -> None:
    manifest = Manifest(**{**vars(part.manifest), "sides": None})
    gray = [*part.facts]
    gray[5] = part.facts[5].__class__(**{**vars(part.facts[5]), "thumbnail": "gICA" * 341 + "gA=="})  # all 128
    found = list(find_side_faults([SplitPart(0, part.path, manifest, gray, [])]))
    assert {finding.kind for finding in found} == {"side-doubtful"}
    assert next(f.detail for f in found if f.row == 5) == "a left ear with a probability of 50%"
    assert len(found) < 0.15 * len(gray)


def test_few_ears_have_no_findings(part: SplitPart) -> None:
    rows = np.arange(50)
    few = SplitPart(0, part.path, part.manifest.subset(rows), part.facts[:50], [])
    assert list(find_side_faults([few])) == []
