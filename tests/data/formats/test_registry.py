"""Tests of `earcli/data/formats/registry.py`."""

from pathlib import Path

import pytest

from earcli.data.formats.registry import read_columns
from earcli.errors import ManifestError, UnknownFormatError


@pytest.mark.parametrize("name", ["x.json", "x.xml", "x.csv"])
def test_a_format_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    texts = {"x.json": '{"ears": 1}', "x.xml": "<ears/>", "x.csv": "ear,size\n1,2\n"}
    (tmp_path / name).write_text(texts[name])
    with pytest.raises(UnknownFormatError, match="expected"):
        read_columns(tmp_path / name, pytest.fail)


def test_a_suffix_that_no_format_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_text("x")
    with pytest.raises(ManifestError, match=r"is not an annotation file by its name, expected one of \.npy"):
        read_columns(tmp_path / "x.mat", pytest.fail)
