"""Tests of `earcli/data/formats/dlib.py`."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from earcli.data.formats.columns import Columns
from earcli.data.formats.dlib import is_dlib, read_dlib

HEAD = (
    "<?xml version='1.0' encoding='UTF-8'?><?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>"
    "<dataset><name>imglab dataset</name><comment>Created by imglab tool.</comment><images>"
)
GOOD = "<box top='2' left='1' width='3' height='4'/>"


def parse(images: str) -> ElementTree.Element:
    """What imglab writes."""
    return ElementTree.fromstring(f"{HEAD}{images}</images></dataset>")


def read(images: str) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_dlib(parse(images), Path("x.xml"), refused.append), refused


def test_boxes_with_parts_are_ears_with_key_points() -> None:
    columns, refused = read(
        "<image file='pictures/a.jpg' width='640' height='480'>"
        "<box top='20' left='10' width='100' height='150'><label>ear</label>"
        "<part name='00' x='15' y='25'/><part name='01' x='30' y='60'/></box>"
        "<box top='21' left='11' width='100' height='150' truncated='1'><part name='01' x='31' y='61'/></box></image>"
        "<image file='b.jpg'></image>"
    )
    assert refused == []
    assert columns.paths == ["pictures/a.jpg"] * 2
    assert columns.boxes.tolist() == [[10, 20, 100, 150], [11, 21, 100, 150]]
    assert columns.categories == ["ear", ""]
    assert columns.sizes == [(640, 480)] * 2
    assert columns.keypoints is not None
    assert [item and (item.names, item.points.tolist()) for item in columns.keypoints] == [
        (("00", "01"), [[15, 25, 2], [30, 60, 2]]),
        (("00", "01"), [[0, 0, 0], [31, 61, 2]]),
    ]
    assert (columns.unlabeled, columns.empty) == (("b.jpg",), ())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("<box top='2' left='1' width='3' height='4' ignore='1'/>", "is marked ignore"),
        ("<box/>", "None"),
        ("<box top='x' left='1' width='3' height='4'/>", "'x'"),
        ("<box top='nan' left='1' width='3' height='4'/>", "'nan'"),
        ("<box top='1e999' left='1' width='3' height='4'/>", "'1e999'"),
        ("<box top='2' left='1' width='-3' height='4'/>", "expected positive numbers"),
        ("<box top='2' left='1' width='3' height='4'><part name='a' x='1'/></box>", "None"),
    ],
)
def test_a_bad_box_is_refused_and_the_others_are_read(bad: str, message: str) -> None:
    columns, refused = read(f"<image file='a.jpg'>{bad}{GOOD}</image>")
    assert columns.boxes.tolist() == [[1, 2, 3, 4]]
    assert len(refused) == 1
    assert refused[0].startswith("x.xml, image 'a.jpg', box 0: ")
    assert message in refused[0]


def test_a_part_that_is_there_twice_is_refused() -> None:
    part = "<part name='a' x='1' y='2'/>"
    columns, refused = read(
        f"<image file='a.jpg'><box top='2' left='1' width='3' height='4'>{part}{part}<part name='b' x='1' y='2'/>"
        f"</box>{GOOD}</image>"
    )
    assert (len(columns.paths), len(refused)) == (1, 1)


def test_a_picture_with_ignored_boxes_alone_is_not_empty() -> None:
    columns, refused = read("<image file='a.jpg'><box top='2' left='1' width='3' height='4' ignore='1'/></image>")
    assert (columns.paths, columns.unlabeled, columns.empty, len(refused)) == ([], ("a.jpg",), (), 1)


def test_an_image_without_a_file_is_refused() -> None:
    columns, refused = read(f"<image>{GOOD}</image><image file='a.jpg'>{GOOD}</image>")
    assert columns.paths == ["a.jpg"]
    assert refused == ["x.xml, image '': it has no file, expected the picture's path"]


@pytest.mark.parametrize(
    "text", ["<dataset/>", "<annotation><filename>a.jpg</filename></annotation>", "<annotations><image/></annotations>"]
)
def test_other_xml_is_not_recognized(text: str) -> None:
    assert is_dlib(parse(""))
    assert not is_dlib(ElementTree.fromstring(text))
