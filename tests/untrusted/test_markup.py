"""Tests of `earcli/untrusted/markup.py`."""

from pathlib import Path

import pytest

from earcli.errors import ManifestError
from earcli.untrusted.markup import read_json, read_xml

BOMB = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB.encode(), "declares XML entities"),
        (BOMB.encode("utf-16"), "is not XML in UTF-8"),
        (b"<a>", "is not XML"),
        (b"<?xml version='1.0' encoding='utf-00'?><a/>", "is not XML"),
        (b"<a/>" + b" " * 2000, "over the limit of 1,000"),
    ],
)
def test_a_harmful_or_damaged_xml_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_bytes(content)
    with pytest.raises(ManifestError, match=message) as caught:
        read_xml(tmp_path / "x.xml", 1000)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1,\n2", "line 2: not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"1" * 5000, "is not JSON"),
    ],
)
def test_a_harmful_or_damaged_json_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_json(tmp_path / "x.json", 1 << 20)
