"""Tests of `earcli/curation/data_card.py`."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw import fill

from earcli.curation.data_card import data_card, write_prepared
from earcli.curation.preparation import PreparedSet, PrepareOptions
from earcli.curation.scan import PictureFacts
from earcli.data.formats.columns import Keypoints
from earcli.data.left_out import LeftOut
from earcli.data.manifest import read_manifest
from earcli.data.samples import Sample

POINTS = Keypoints(("tip", "lobe"), np.array([[5.0, 6, 2], [7, 8, 2]]))


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedSet:
    """Three ears in two files: both ears of the first file for training, that of the second one for validation."""
    names = fill(tmp_path / "raw", 2)

    def sample(name: str, box: tuple[float, ...], subject: str, points: Keypoints | None, source: str) -> Sample:
        return Sample(str(tmp_path / "raw" / name), f"raw/{name}", box, subject, points, source)

    def facts(checksum: str, orientation: int, crop: tuple[int, int]) -> PictureFacts:
        return PictureFacts(checksum=checksum, format="PNG", orientation=orientation, size=(90, 120), crop=crop)

    return PreparedSet(
        samples=[
            sample(names[0], (1, 2, 30, 40), "kim", POINTS, "raw/a.csv"),
            sample(names[0], (40, 50, 20, 60), "kim", None, "raw/a.csv"),
            sample(names[1], (0, 0, 90, 120), "", None, "raw"),
        ],
        facts=[facts("0a", 1, (30, 40)), facts("0a", 1, (20, 60)), facts("0b", 6, (90, 120))],
        is_validation=np.array([False, False, True]),
        left_out=[LeftOut("raw/x.png", "raw", "empty file"), LeftOut("", "raw/b.csv", "not CSV")],
        groups=np.array([0, 0, 1]),
        subjects=1,
        lookalikes=0,
    )


def rows_of(card: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]


def test_the_card_counts_what_is_in_each_part(prepared: PreparedSet) -> None:
    card = data_card(prepared, PrepareOptions(split=0.75, seed=3), ["train_teacher.npy"])
    rows = rows_of(card)
    for row in (
        ["ears", "2", "1"],
        ["image files", "1", "1"],
        ["known subjects", "1", "0"],
        ["with keypoints", "1", "0"],
        ["width", "20", "30", "90"],
        ["height", "40", "60", "120"],
        ["shorter side", "20", "30", "90"],
        ["PNG", "3"],
        ["raw", "1"],
        ["raw/a.csv", "2"],
        ["tip, lobe", "1"],
        ["raw/x.png", "empty file"],
        ["raw/b.csv", "not CSV"],
    ):
        assert row in rows
    assert "A fraction of 0.75 is for training, drawn with seed 3." in card
    assert "the largest group of such ears has 2." in card
    assert "1 are rotated by an EXIF tag" in card


def test_a_long_table_of_the_card_is_cut(prepared: PreparedSet) -> None:
    prepared.left_out[:] = [LeftOut(f"raw/{number}.png", "raw", "empty file") for number in range(35)]
    card = data_card(prepared, PrepareOptions(), [])
    assert sum(row[-1] == "empty file" for row in rows_of(card)) == 30
    assert "and 5 more." in card


def test_the_manifests_of_both_parts_name_their_ears_from_where_they_will_be(
    prepared: PreparedSet, tmp_path: Path
) -> None:
    folder, final = tmp_path / "temporary", tmp_path / "sets" / "ears"
    folder.mkdir()
    names = write_prepared(folder, final, prepared, PrepareOptions())
    formats = {"train": (".npy", ".csv", ".coco.json"), "val": (".npy", ".csv")}  # COCO where there are keypoints
    assert names == [f"{part}_teacher{suffix}" for part, suffixes in formats.items() for suffix in suffixes]
    final.parent.mkdir()
    folder.rename(final)
    for name in names:
        manifest = read_manifest(final / name)
        boxes = [[1, 2, 30, 40], [40, 50, 20, 60]] if name.startswith("train") else [[0, 0, 90, 120]]
        assert manifest.boxes.tolist() == boxes
        image = "001.png" if name.startswith("val") else "000.png"
        assert set(manifest.paths) == {f"../../raw/{image}"}
    with (final / "left_out.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["raw/x.png", "raw", "empty file"], ["", "raw/b.csv", "not CSV"]]
    with Image.open(final / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_a_detectors_set_is_written_as_coco_as_well(prepared: PreparedSet, tmp_path: Path) -> None:
    names = write_prepared(tmp_path, tmp_path, prepared, PrepareOptions(task="detector"))
    assert {"train_detector.coco.json", "val_detector.coco.json"} < set(names)
