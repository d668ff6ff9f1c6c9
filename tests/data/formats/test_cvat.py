"""Tests of `earcli/data/formats/cvat.py`."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.cvat import is_cvat, read_cvat, write_cvat
from earcli.errors import ManifestError, RunError

# what CVAT exports as "CVAT for images 1.1"
EXPORT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id><name>ears</name><size>3</size><mode>annotation</mode>
      <labels>
        <label><name>ear</name><color>#fafa37</color><type>any</type><attributes></attributes></label>
        <label><name>outline</name><type>skeleton</type></label>
      </labels>
    </task>
    <dumped>2024-05-02 09:15:01.123456+00:00</dumped>
  </meta>
  <image id="0" name="left/a.jpg" width="640" height="480">
    <box label="ear" source="manual" occluded="0" xtl="300.50" ytl="200.25" xbr="100.10" ybr="50.00" z_order="0" \
group_id="3">
      <attribute name="subject">p07</attribute>
      <attribute name="lighting">dim</attribute>
    </box>
    <skeleton label="outline" source="manual" z_order="0" group_id="3">
      <points label="1" source="manual" outside="0" occluded="0" points="110.25,60.50"></points>
      <points label="2" source="manual" outside="0" occluded="1" points="120.00,70.75"></points>
      <points label="3" source="manual" outside="1" occluded="0" points="0.00,0.00"></points>
    </skeleton>
    <box label="ear" source="manual" occluded="0" xtl="400" ytl="50" xbr="500" ybr="200" z_order="0"></box>
  </image>
  <image id="1" name="b.png" width="320" height="240">
    <polygon label="ear" source="manual" occluded="0" points="10.5,20;50,20;50,90.25" z_order="0"></polygon>
    <tag label="blurred" source="manual"></tag>
  </image>
  <image id="2" name="c.png" width="320" height="240"></image>
</annotations>
"""


def image(shapes: str) -> ElementTree.Element:
    return ElementTree.fromstring(
        f'<annotations><image id="0" name="a.jpg" width="640" height="480">{shapes}</image></annotations>'
    )


def read(root: ElementTree.Element) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_cvat(root, Path("x.xml"), refused.append), refused


def points_of(columns: Columns, row: int) -> Keypoints:
    points = columns.keypoints[row] if columns.keypoints else None
    assert points is not None
    return points


def test_an_export_gives_boxes_polygons_skeletons_and_subjects() -> None:
    columns, refused = read(ElementTree.fromstring(EXPORT))
    assert refused == []
    assert columns.paths == ["left/a.jpg", "left/a.jpg", "b.png"]
    expected = [[100.1, 50, 300.5 - 100.1, 150.25], [400, 50, 100, 150], [10.5, 20, 39.5, 70.25]]
    assert columns.boxes.tolist() == expected
    assert columns.sizes == [(640, 480), (640, 480), (320, 240)]
    assert columns.subjects == ["p07", "", ""]
    assert columns.categories == ["ear"] * 3
    assert points_of(columns, 0).names == ("1", "2", "3")
    assert points_of(columns, 0).points.tolist() == [[110.25, 60.5, 2], [120, 70.75, 1], [0, 0, 0]]
    assert columns.keypoints is not None
    assert columns.keypoints[1:] == [None, None]


def test_a_picture_without_shapes_is_not_labeled_rather_than_empty() -> None:
    columns, _ = read(ElementTree.fromstring(EXPORT))
    assert (columns.unlabeled, columns.empty) == (("c.png",), ())


def test_single_points_with_labels_of_their_own_belong_to_the_box_of_their_group() -> None:
    columns, refused = read(
        image(
            '<box label="ear" xtl="0" ytl="0" xbr="50" ybr="50" group_id="1"/>'
            '<box label="ear" xtl="10" ytl="10" xbr="60" ybr="60" group_id="2"/>'
            '<points label="top" points="20,20" group_id="2" occluded="1"/>'
            '<points label="lobe" points="21,30" group_id="2" occluded="0"/>'
        )
    )
    assert refused == []
    assert columns.keypoints is not None
    assert columns.keypoints[0] is None
    assert points_of(columns, 1).names == ("top", "lobe")
    assert points_of(columns, 1).points.tolist() == [[20, 20, 1], [21, 30, 2]]


def test_several_points_of_one_shape_are_numbered() -> None:
    columns, refused = read(image('<points label="ear" points="1,2;3,4.5;5,6" occluded="0" group_id="0"/>'))
    assert refused == []
    assert np.isnan(columns.boxes).all()
    assert points_of(columns, 0).names == ("1", "2", "3")
    assert points_of(columns, 0).points[:, :2].tolist() == [[1, 2], [3, 4.5], [5, 6]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<box label="ear" xtl="1" ytl="2" xbr="3"/>', "None"),
        ('<box label="ear" xtl="1" ytl="2" xbr="3" ybr="nan"/>', "'nan'"),
        ('<box label="ear" xtl="1" ytl="2" xbr="1e400" ybr="3"/>', "'1e400'"),
        ('<box label="ear" xtl="1" ytl="2" xbr="left" ybr="3"/>', "'left'"),
        ('<box label="ear" xtl="1" ytl="2" xbr="5" ybr="6" rotation="30.5"/>', "rotated"),
        ('<polygon label="ear" points=""/>', "points is ''"),
        ('<polygon label="ear" points="1,2;3;4,5"/>', "'1,2;3;4,5'"),
        ('<points label="top"/>', "points is ''"),
        ('<skeleton label="ear"><points label="1" points="1"/></skeleton>', "points is '1'"),
        ('<ellipse label="ear" cx="1" cy="2" rx="3" ry="4"/>', "expected box, polygon, points or skeleton"),
        ('<polyline label="ear" points="1,2;3,4"/>', "expected box, polygon, points or skeleton"),
        ('<mask label="ear" rle="1, 2" left="0" top="0" width="1" height="2"/>', "expected box, polygon"),
    ],
)
def test_a_bad_shape_is_refused_and_the_others_are_read(shape: str, message: str) -> None:
    columns, refused = read(image(shape + '<box label="ear" xtl="1" ytl="2" xbr="3" ybr="5"/>'))
    assert columns.boxes.tolist() == [[1, 2, 2, 3]]
    assert len(refused) == 1
    assert refused[0].startswith("x.xml, image 'a.jpg', ")
    assert message in refused[0]


def test_a_size_that_is_no_size_is_left_out() -> None:
    root = image('<box label="ear" xtl="1" ytl="2" xbr="3" ybr="5"/>')
    root[0].set("width", "wide")
    assert read(root)[0].sizes == [None]


def test_a_video_asks_for_another_export() -> None:
    root = ElementTree.fromstring('<annotations><version>1.1</version><track id="0" label="ear"/></annotations>')
    with pytest.raises(ManifestError, match="Export it as CVAT for images"):
        read(root)


def test_what_is_written_reads_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = Keypoints(("top", "lobe", "back"), np.array([[1.5, 2.25, 2], [0.1 + 0.2, 4, 1], [7, 8, 2]]))
    second = Keypoints(first.names, np.array([[9, 9, 2], [0, 0, 0], [1 / 3, 2 / 3, 1]]))
    boxes = rng.uniform(0, 200, (4, 4))
    boxes[3] = np.nan
    names = ["a/b.jpg", "a/b.jpg", "耳 & <co>\n.png", "whole.png"]
    written = Columns(names, boxes, ["p & <1>", "", "耳", ""], keypoints=[first, second, None, None])
    sizes = [(640, 480), (640, 480), (300, 200), (30, 20)]
    write_cvat(tmp_path / "x.xml", written, sizes, scores=[0.5] * 4)
    root = ElementTree.parse(tmp_path / "x.xml").getroot()
    assert is_cvat(root)
    columns, refused = read(root)
    assert refused == []
    assert columns.paths == names
    assert columns.subjects == written.subjects
    assert columns.sizes == sizes
    assert columns.categories == ["ear"] * 4
    np.testing.assert_allclose(columns.boxes, [*boxes[:3], [0, 0, 30, 20]], rtol=0, atol=1e-9)
    for row, points in enumerate((first, second)):
        assert points_of(columns, row).names == points.names
        assert points_of(columns, row).points.tolist() == points.points.tolist()
    assert columns.keypoints is not None
    assert columns.keypoints[2:] == [None, None]


@pytest.mark.parametrize("text", ["<annotation/>", "<dataset><images/></dataset>", "<svg/>"])
def test_other_xml_is_not_recognized(text: str) -> None:
    assert is_cvat(ElementTree.fromstring(EXPORT))
    assert not is_cvat(ElementTree.fromstring(text))


def test_a_picture_without_a_name_is_refused() -> None:
    root = image('<box label="ear" xtl="1" ytl="2" xbr="3" ybr="5"/>')
    del root[0].attrib["name"]
    columns, refused = read(root)
    assert columns.paths == []
    assert refused == ["x.xml, image 0: it has no name, expected that of a picture"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<polygon label="ear" points="1,2;3,4"/>', "2 points, expected three or more"),
        ('<skeleton label="ear"/>', "no point of it is inside the picture"),
        ('<skeleton label="ear"><points label="1" points="1,2" outside="1"/></skeleton>', "no point of it is inside"),
        ('<skeleton label="ear"><points label="1" points="1,2;3,4"/></skeleton>', "has 2 points, expected one"),
        ('<skeleton label="ear"><box xtl="1"/><points label="1" points="1,2"/></skeleton>', "'box', expected points"),
        ('<box label="ear" xtl="1" ytl="2" xbr="5" ybr="6" rotation="some"/>', "'some', expected a number"),
    ],
)
def test_a_shape_that_outlines_nothing_makes_no_ear(shape: str, message: str) -> None:
    columns, refused = read(image(shape))
    assert (columns.paths, columns.unlabeled) == ([], ("a.jpg",))
    assert len(refused) == 1
    assert message in refused[0]


def test_points_without_a_box_keep_their_subject() -> None:
    columns, _ = read(image('<points label="ear" points="1,2;3,4"><attribute name="subject">p07</attribute></points>'))
    assert columns.subjects == ["p07"]


@pytest.mark.parametrize("name", ["bell\a.jpg", "bytes\udcff.jpg"])
def test_a_name_that_xml_cannot_hold_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="a character that XML cannot hold"):
        write_cvat(tmp_path / "x.xml", Columns([name], np.ones((1, 4))), [(6, 4)])
    assert not list(tmp_path.iterdir())


def test_points_of_which_none_is_labeled_are_not_written(tmp_path: Path) -> None:
    written = Columns(["a.jpg"], np.ones((1, 4)), keypoints=[Keypoints(("top",), np.zeros((1, 3)))])
    write_cvat(tmp_path / "x.xml", written, [(6, 4)])
    columns, refused = read(ElementTree.parse(tmp_path / "x.xml").getroot())
    assert (columns.keypoints, refused) == (None, [])
