"""Tests of `earcli/curation/split_part.py`."""

from hashlib import sha256
from pathlib import Path

import pytest
from raw import fill

from earcli.curation.findings import Finding
from earcli.curation.split_part import read_parts
from earcli.errors import ManifestError


def test_every_readable_row_of_every_manifest_is_opened_and_the_others_are_kept_as_messages(tmp_path: Path) -> None:
    fill(tmp_path / "images", 3)
    train, val = tmp_path / "train.csv", tmp_path / "val.csv"
    train.write_text("image_path,x,y,w,h\n000.png,1,2,50,60\n001.png,one,2,50,60\n002.png,,,,\n")
    val.write_text("image_path\n001.png\nno.png\n")
    calls: list[tuple[int, int]] = []
    parts = read_parts([train, val], tmp_path / "images", None, 2, lambda _, done, total: calls.append((done, total)))
    assert [(part.index, part.path, part.manifest.paths) for part in parts] == [
        (0, train, ["000.png", "002.png"]),
        (1, val, ["001.png", "no.png"]),
    ]
    assert [[facts.crop for facts in part.facts] for part in parts] == [[(50, 60), (90, 120)], [(90, 120), (0, 0)]]
    assert parts[0].facts[1].checksum == sha256((tmp_path / "images" / "002.png").read_bytes()).hexdigest()
    assert parts[1].facts[1].fault == "missing"
    assert len(parts[0].bad_rows) == 1
    assert "line 3" in parts[0].bad_rows[0]
    assert parts[1].bad_rows == []
    assert calls == [(2, 2), (2, 2)]
    assert parts[1].finding("tiny", 0, "small", 0.5) == Finding("tiny", 1, 0, "001.png", "small", 0.5)


def test_a_manifest_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no\.csv does not exist"):
        read_parts([tmp_path / "no.csv"], None, None, 1)
