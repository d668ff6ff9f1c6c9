"""Tests of `earcli/data/resolver.py`."""

from pathlib import Path

import pytest

from earcli.data.resolver import PictureResolver


def test_a_name_needs_one_picture_in_its_last_folder() -> None:
    resolver = PictureResolver(["/s/train/0.jpg", "/s/val/0.jpg", "/s/val/1.jpg"])
    assert resolver.find("old/train/0.jpg") == "/s/train/0.jpg"
    assert resolver.find("1.jpg") == "/s/val/1.jpg"
    with pytest.raises(ValueError, match="2 images have that name"):
        resolver.find("0.jpg")
    with pytest.raises(ValueError, match="is in val, not train"):
        resolver.find("train/1.jpg")
    with pytest.raises(ValueError, match="no such file"):
        resolver.find("2.jpg")


def test_a_label_file_finds_its_picture_beside_it_or_in_the_mirrored_folder() -> None:
    resolver = PictureResolver(["/s/images/train/0.jpg", "/s/images/val/0.jpg", "/s/a/b.png", "/s/c/b.png"])
    assert resolver.find_by_stem(Path("/s/labels/val/0.txt"), "0") == "/s/images/val/0.jpg"
    assert resolver.find_by_stem(Path("/s/c/b.pts"), "b") == "/s/c/b.png"
    with pytest.raises(ValueError, match="2 images of that name"):
        resolver.find_by_stem(Path("/s/d/b.pts"), "b")
    with pytest.raises(ValueError, match="no image with that name"):
        resolver.find_by_stem(Path("/s/d/x.pts"), "x")
