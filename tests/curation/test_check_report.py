"""Tests of `earcli/curation/check_report.py`."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earcli.curation.check_report import SHEET_SIDE, write_cleaned, write_report
from earcli.curation.findings import Finding
from earcli.curation.split_part import SplitPart, read_parts
from earcli.data.manifest import read_manifest
from earcli.errors import DataError

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def part(tmp_path: Path) -> SplitPart:
    """A red, a green and a blue ear; the box of the blue one lies outside of its file."""
    for name, color in zip("abc", COLORS, strict=True):
        Image.new("RGB", (40, 50), color).save(tmp_path / f"{name}.png")
    (tmp_path / "set.csv").write_text("image_path,x,y,w,h\na.png,1,2,30,40\nb.png,,,,\nc.png,100,2,30,40\n")
    return read_parts([tmp_path / "set.csv"], None, None, 1)[0]


def test_findings_are_listed_and_the_most_severe_crops_come_first(part: SplitPart, tmp_path: Path) -> None:
    findings = [
        part.finding("constant", 0, "mild", 1.0),
        part.finding("constant", 1, "=severe", 5.0),
        part.finding("box-outside", 2, "off"),
        Finding("row", 0, -1, "", "line 7"),
    ]
    files = write_report(tmp_path / "report", [part], findings, {"harmful": 4})
    assert [path.name for path in files] == ["check.json", "bad_files.csv", "worst.png"]
    assert json.loads(files[0].read_text()) == {"harmful": 4}
    with files[1].open() as file:
        rows = list(csv.reader(file))
    manifest = str(tmp_path / "set.csv")
    assert rows[1:] == [
        [manifest, "0", "a.png", "constant", "yes", "mild"],
        [manifest, "1", "b.png", "constant", "yes", "'=severe"],
        [manifest, "2", "c.png", "box-outside", "yes", "off"],
        [manifest, "-1", "", "row", "yes", "line 7"],
    ]
    with Image.open(files[2]) as image:
        sheet = np.asarray(image)
    red, green, blue = (np.argwhere((sheet == color).all(-1)) for color in COLORS)
    assert [len(pixels) for pixels in (red, green, blue)] == [SHEET_SIDE**2] * 3
    assert green[:, 1].max() < red[:, 1].min()
    assert red[:, 0].max() < blue[:, 0].min()


def test_there_is_no_sheet_without_a_crop_and_an_earlier_one_goes(part: SplitPart, tmp_path: Path) -> None:
    (tmp_path / "worst.png").write_bytes(b"of an earlier check")
    (tmp_path / "b.png").write_text("damaged since")
    files = write_report(tmp_path, [part], [part.finding("foreign", 1, "")], {})
    assert [path.name for path in files] == ["check.json", "bad_files.csv"]
    assert not (tmp_path / "worst.png").exists()


def test_a_cleaned_manifest_lacks_harmful_ears_only_and_names_the_same_files(part: SplitPart, tmp_path: Path) -> None:
    target = tmp_path / "report" / "cleaned" / "set.csv"
    write_cleaned([part], [part.finding("tiny", 0, ""), part.finding("box-outside", 2, "")], [target])
    manifest = read_manifest(target)
    assert [manifest.locate(row).resolve() for row in range(len(manifest))] == [tmp_path / "a.png", tmp_path / "b.png"]
    np.testing.assert_array_equal(manifest.boxes, [[1, 2, 30, 40], [np.nan] * 4])


def test_a_manifest_of_harmful_ears_only_is_not_emptied(part: SplitPart, tmp_path: Path) -> None:
    findings = [part.finding("copy", row, "") for row in range(3)]
    with pytest.raises(DataError, match=r"leave nothing of .*set\.csv: all 3 are harmful"):
        write_cleaned([part], findings, [tmp_path / "cleaned.csv"])
    assert not (tmp_path / "cleaned.csv").exists()
