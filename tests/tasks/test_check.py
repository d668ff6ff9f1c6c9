"""Tests of `earcli/tasks/check.py`."""

import json
from pathlib import Path

import pytest
from raw import coco, fill

import earcli
from earcli.curation.findings import KINDS
from earcli.data.manifest import read_manifest


def test_the_task_returns_the_content_of_its_report_and_prints_nothing(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests = [faulty / "train.csv", faulty / "val.csv"]
    result = earcli.check(manifests, output=tmp_path, drop=True)
    assert capsys.readouterr() == ("", "")
    assert result.to_dict() == json.loads((tmp_path / "check.json").read_text())
    assert result.harmful == sum(KINDS[finding.kind].harmful for finding in result.findings) > 15
    assert result.ears == [len(read_manifest(path)) for path in manifests]
    assert [path.name for path in result.files] == ["check.json", "bad_files.csv", "worst.png"]
    assert all(path.is_file() for path in [*result.files, *result.cleaned])


def test_labels_that_do_not_fit_their_pictures_are_harmful(tmp_path: Path) -> None:
    names = fill(tmp_path / "set", 3)
    content = json.loads(coco(names, [[1, 2, 30, 40], [2, 4, 60, 80], [3, 4, 30, 40]]))
    for item, size in zip(content["images"], [(90, 120), (180, 240), (77, 99)], strict=True):
        item["width"], item["height"] = size
    (tmp_path / "set" / "labels.json").write_text(json.dumps(content))
    for source in (tmp_path / "set", tmp_path / "set" / "labels.json"):
        result = earcli.check(source, output=tmp_path / "report", drop=True)
        found = {finding.kind: finding.detail for finding in result.findings if finding.harmful}
        assert found.keys() == {"row", "scaled"}
        assert "the labels are of a picture of 77×99 pixels, but this one has 90×120" in found["row"]
        assert found["scaled"] == "the label was scaled by 0.5"
        assert read_manifest(result.cleaned[0]).boxes.tolist() == [[1, 2, 30, 40], [1, 2, 30, 40]]
    assert result.cleaned[0].name == "labels.json"
