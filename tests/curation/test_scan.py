"""Tests of `earcli/curation/scan.py`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from planting import load
from raw import fill, picture

from earcli.curation.scan import measure_sharpness, scan


def test_blur_lowers_sharpness_and_brightness_does_not(drawn: Path) -> None:
    image = load(drawn / "images" / "ear_00000.jpg").convert("L")
    values = [measure_sharpness(image.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 2, 5, 12)]
    assert values == sorted(values, reverse=True)
    assert measure_sharpness(ImageEnhance.Brightness(image).enhance(0.6)) == pytest.approx(values[0], abs=0.03)
    assert measure_sharpness(Image.new("L", (90, 90), 7)) == 0


def test_a_killed_scan_continues_and_notices_files_that_changed(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in fill(tmp_path, 6)]
    boxes, scan_log = np.full((6, 4), np.nan), tmp_path / "scan.jsonl"
    first = scan(paths[:3], boxes[:3], 2, None, scan_log)
    with scan_log.open("a") as file:
        file.write('["half a li')
    picture(99).save(paths[1])
    seen: list[tuple[str, int, int]] = []
    second = scan(paths, boxes, 2, lambda *args: seen.append(args), scan_log)
    assert (second[0], second[2]) == (first[0], first[2])
    assert second[1] != first[1]
    assert second == scan(paths, boxes, 2)
    assert seen == [("opening images", 6, 6)]
    scan(paths, boxes, 2, lambda *args: seen.append(args), scan_log)
    assert len(seen) == 1  # every image was in the log
