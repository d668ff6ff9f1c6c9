"""Tests of `earcli/data/formats/voc.py`."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from earcli.data.formats.columns import Columns
from earcli.data.formats.voc import is_voc, read_voc

# what LabelImg writes
LABELIMG = """<annotation>
	<folder>ears</folder>
	<filename>a.jpg</filename>
	<path>C:\\Users\\me\\ears\\a.jpg</path>
	<source><database>Unknown</database></source>
	<size><width>640</width><height>480</height><depth>3</depth></size>
	<segmented>0</segmented>
	<object>
		<name>ear</name>
		<pose>Unspecified</pose>
		<truncated>1</truncated>
		<difficult>0</difficult>
		<bndbox><xmin>101</xmin><ymin>50</ymin><xmax>300</xmax><ymax>200</ymax></bndbox>
	</object>
	<object>
		<name>left ear</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>1</difficult>
		<bndbox><xmin>500.75</xmin><ymin>90</ymin><xmax>400.25</xmax><ymax>20.5</ymax></bndbox>
	</object>
</annotation>
"""
GOOD = "<object><name>ear</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>5</ymax></bndbox></object>"


def read(text: str) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_voc(ElementTree.fromstring(text), Path("labels/x.xml"), refused.append), refused


def test_corners_are_kept_as_written_and_may_be_swapped() -> None:
    columns, refused = read(LABELIMG)
    assert refused == []
    assert columns.paths == ["a.jpg", "a.jpg"]
    assert columns.boxes.tolist() == [[101, 50, 199, 150], [400.25, 20.5, 100.5, 69.5]]
    assert columns.categories == ["ear", "left ear"]
    assert columns.sizes == [(640, 480)] * 2
    assert columns.keypoints is None


def test_a_polygon_beside_a_box_gives_the_box() -> None:
    # what Roboflow exports for polygons
    polygon = "<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>2</y2><x3>3</x3><y3>5</y3></polygon></object>"
    columns, refused = read(f"<annotation>{GOOD.replace('</object>', polygon)}</annotation>")
    assert refused == []
    assert columns.boxes.tolist() == [[1, 2, 2, 3]]


def test_a_file_without_an_object_says_that_there_is_no_ear() -> None:
    columns, refused = read("<annotation><filename>b.jpg</filename></annotation>")
    assert (columns.paths, columns.unlabeled, columns.empty, refused) == ([], (), ("b.jpg",), [])


@pytest.mark.parametrize("filename", ["", "<filename/>", "<filename>  </filename>"])
def test_without_a_file_name_the_picture_has_that_of_the_file(filename: str) -> None:
    assert read(f"<annotation>{filename}{GOOD}</annotation>")[0].paths == ["x"]


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_no_size_is_left_out(size: str) -> None:
    assert read(f"<annotation>{size}{GOOD}</annotation>")[0].sizes == [None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected"),
        ("<bndbox/>", "None"),
        ("<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax></bndbox>", "None"),
        ("<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>inf</xmax><ymax>9</ymax></bndbox>", "'inf'"),
        ("<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>right</xmax><ymax>9</ymax></bndbox>", "'right'"),
        ("<polygon><pt><x>1</x><y>2</y></pt></polygon>", "expected"),
    ],
)
def test_a_bad_object_is_refused_and_the_others_are_read(text: str, message: str) -> None:
    columns, refused = read(f"<annotation><object><name>ear</name>{text}</object>{GOOD}</annotation>")
    assert columns.boxes.tolist() == [[1, 2, 2, 3]]
    assert len(refused) == 1
    assert "x.xml, object 0 ('ear')" in refused[0]
    assert message in refused[0]


def test_a_file_with_bad_objects_alone_is_not_empty() -> None:
    columns, refused = read("<annotation><filename>a.jpg</filename><object/></annotation>")
    assert (columns.unlabeled, columns.empty, len(refused)) == (("a.jpg",), (), 1)


@pytest.mark.parametrize("text", ["<annotations/>", "<dataset><images/></dataset>", "<svg/>"])
def test_other_xml_is_not_recognized(text: str) -> None:
    assert is_voc(ElementTree.fromstring(LABELIMG))
    assert not is_voc(ElementTree.fromstring(text))


def test_an_object_with_two_boxes_is_refused() -> None:
    second = "<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object>"
    columns, refused = read(f"<annotation>{GOOD.replace('</object>', second)}</annotation>")
    assert columns.paths == []
    assert len(refused) == 1
    assert "2 bndbox, expected one" in refused[0]
