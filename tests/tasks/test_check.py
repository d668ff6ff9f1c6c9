"""Tests of `earcli/tasks/check.py`."""

import json
from pathlib import Path

import pytest

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
