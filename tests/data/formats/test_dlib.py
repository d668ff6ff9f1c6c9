"""Tests of `earcli/data/formats/dlib.py`."""

from pathlib import Path
from xml.etree import ElementTree

from earcli.data.formats.dlib import is_dlib, read_dlib

TEXT = """<dataset><images>
<image file='a.jpg'><box top='2' left='1' width='30' height='40'><label>ear</label><part name='tip' x='5' y='6'/></box>
<box top='2' left='100' width='30' height='40'><part name='tip' x='105' y='6'/></box>
<box top='1' left='1' width='3' height='4' ignore='1'/><box top='x' left='1' width='3' height='4'/></image>
<image file='b.jpg'/></images></dataset>"""


def test_parts_stay_with_their_box(tmp_path: Path) -> None:
    root = ElementTree.fromstring(TEXT)
    assert is_dlib(root)
    refused: list[str] = []
    columns = read_dlib(root, tmp_path / "x.xml", refused.append)
    assert columns.boxes.tolist() == [[1, 2, 30, 40], [100, 2, 30, 40]]
    assert columns.keypoints is not None
    assert [k.points.tolist() for k in columns.keypoints if k] == [[[5, 6, 2]], [[105, 6, 2]]]
    assert columns.unlabeled == ("b.jpg",)
    assert ["marked ignore" in refused[0], "box 3: a coordinate is 'x'" in refused[1]] == [True, True]
    assert not is_dlib(ElementTree.fromstring("<dataset/>"))
