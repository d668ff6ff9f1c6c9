"""Tests of `earcli/data/formats/yolo.py`."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.yolo import YoloSet, read_data_yaml, read_yolo, write_yolo
from earcli.errors import ManifestError, RunError

PLAIN = YoloSet({0: "ear", 1: "nose"}, None)
POSE = YoloSet({0: "ear"}, (2, 3))
GOOD = "0 0.5 0.5 0.25 0.5"


def read(tmp_path: Path, text: str | bytes, described: YoloSet = PLAIN) -> tuple[Columns, list[str]]:
    path = tmp_path / "a.b.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused: list[str] = []
    return read_yolo(path, described, lambda reason: refused.append(reason.replace(str(path), "a.txt"))), refused


def points_of(columns: Columns, row: int) -> Keypoints:
    points = columns.keypoints[row] if columns.keypoints else None
    assert points is not None
    return points


@pytest.mark.parametrize(
    "text", ["{}\n1 0.1 0.2 0.2 0.25\n", "\ufeff{}\r\n\r\n1 0.1 0.2 0.2 0.25", "{}\n1\t.1 2e-1 .2 .25"]
)
def test_boxes_are_read_as_fractions(tmp_path: Path, text: str) -> None:
    columns, refused = read(tmp_path, text.format(GOOD))
    assert refused == []
    assert columns.fractions
    assert columns.paths == ["a.b"] * 2
    np.testing.assert_allclose(columns.boxes, [[0.375, 0.25, 0.25, 0.5], [0, 0.075, 0.2, 0.25]], rtol=0, atol=1e-15)
    assert columns.categories == ["ear", "nose"]
    assert (columns.keypoints, columns.sizes, columns.empty, columns.unlabeled) == (None, None, (), ())


def test_polygons_give_their_bounding_box(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, "0 0.25 0.5 0.75 0.5 0.5 0.125\n0 0 0 1 0 1 1 0 1\n")
    assert refused == []
    assert columns.boxes.tolist() == [[0.25, 0.125, 0.5, 0.375], [0, 0, 1, 1]]


def test_key_points_of_three_numbers(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, f"{GOOD} 0.1 0.2 2 0.3 0.4 1\n{GOOD} 0.1 0.2 1.0 0 0 0\n{GOOD}\n", POSE)
    assert refused == []
    assert points_of(columns, 0).names == ("1", "2")
    assert points_of(columns, 0).points.tolist() == [[0.1, 0.2, 2], [0.3, 0.4, 1]]
    assert points_of(columns, 1).labeled().tolist() == [[0.1, 0.2]]
    assert columns.keypoints is not None
    assert columns.keypoints[2] is None


def test_key_points_of_two_numbers_are_labeled_unless_they_are_zero(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, f"{GOOD} 0.1 0 0 0\n{GOOD} 0 0 0 0\n", YoloSet({0: "ear"}, (2, 2)))
    assert refused == []
    assert points_of(columns, 0).points.tolist() == [[0.1, 0, 2], [0, 0, 0]]
    assert columns.keypoints is not None
    assert columns.keypoints[1] is None


def test_points_a_little_outside_of_the_picture_are_read(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, f"{GOOD} -0.1 0.2 2 0.3 1.2 1\n{GOOD} 99 99 0 0.1 0.1 2", POSE)
    assert (len(columns.paths), refused) == (2, [])


def test_an_empty_file_shows_no_ear(tmp_path: Path) -> None:
    for text in ("", "\n \r\n"):
        columns, refused = read(tmp_path, text)
        assert (columns.paths, columns.boxes.shape, columns.empty, refused) == ([], (0, 4), ("a.b",), [])


def test_a_file_with_bad_lines_alone_is_not_empty(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, "0 1\n")
    assert (columns.empty, columns.unlabeled, len(refused)) == ((), ("a.b",), 1)


def test_a_class_without_a_name_has_its_number(tmp_path: Path) -> None:
    assert read(tmp_path, f"7{GOOD[1:]}")[0].categories == ["7"]
    assert read(tmp_path, GOOD, YoloSet({}, None))[0].categories == ["0"]


@pytest.mark.parametrize(
    ("bad", "described", "message"),
    [
        ("ear 0.5 0.5 0.25 0.5", PLAIN, "'ear'"),
        ("0", PLAIN, "1 numbers, expected a class and 4"),
        ("0 0.5 0.5 0.25", PLAIN, "4 numbers"),
        (f"{GOOD} 0.93", PLAIN, "6 numbers"),  # predictions with a confidence
        ("0 0.5 0.5 0.25 x", PLAIN, "'x'"),
        ("0 0.5 0.5 0.25 nan", PLAIN, "'nan'"),
        ("0 0.5 0.5 0.25 inf", PLAIN, "'inf'"),
        ("0 0,5 0,5 0,25 0,5", PLAIN, "'0,5'"),
        ("0 0.5 0.5 -0.005 0.5", PLAIN, "expected a positive width"),
        ("0 50 50 25 50", PLAIN, "expected fractions"),
        ("0 0.1 0.2 0.3 0.4 500 0.6", PLAIN, "expected fractions"),
        (f"{GOOD} 0.1 0.2 2 0.3 0.4 2", PLAIN, "expected fractions"),  # a pose whose data.yaml has no kpt_shape
        (f"{GOOD} 0.1 0.2 2", POSE, "8 numbers, expected a class and 4 or 10"),
        (f"{GOOD} 0.1 0.2 2 0.3 0.4 0.93", POSE, "a visibility is 0.93"),
        (f"{GOOD} 0.1 0.2 2 0.3 0.4 -1", POSE, "a visibility is -1.0"),
        (f"{GOOD} 0.1 0.2 2 30 40 2", POSE, "a point is [30.0, 40.0]"),
    ],
)
def test_a_bad_line_is_refused_and_the_others_are_read(
    tmp_path: Path, bad: str, described: YoloSet, message: str
) -> None:
    columns, refused = read(tmp_path, f"{bad}\n{GOOD}\n", described)
    assert columns.boxes.tolist() == [[0.375, 0.25, 0.25, 0.5]]
    assert len(refused) == 1
    assert refused[0].startswith("a.txt, line 1: ")
    assert message in refused[0]


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read(tmp_path, b"\xff\xfe0\0")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_yolo(tmp_path / "gone.txt", PLAIN, lambda reason: None)


def describe(tmp_path: Path, text: str) -> YoloSet:
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    return read_data_yaml(tmp_path / "data.yaml")


def test_names_are_a_list_or_numbered(tmp_path: Path) -> None:
    roboflow = "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['ear', 'nose']\n"
    assert describe(tmp_path, roboflow) == PLAIN
    ultralytics = (
        "path: ../datasets/ears\ntrain: images\nval: images\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\nnames:\n  0: ear\n"
    )
    assert describe(tmp_path, ultralytics) == POSE
    assert describe(tmp_path, "names: {0: 7}\nkpt_shape: null\n") == YoloSet({0: "7"}, None)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "nc: 1",
        "names: ear",
        "names: [[ear]]",
        "names: {ear: 0}",
        "names: {true: ear}",
        "names: [null]",
        "names: [a",
        "names: [!!python/object/apply:os.getcwd []]",
        'names: [!!int ""]',
        "names: [!!timestamp x]",
        "names: [!!bool x]",
        "names: [2026-99-99]",
        pytest.param(f"names: [0x{'f' * 9000}]", id="huge"),
        pytest.param(f"names: [{'9' * 5000}]", id="huge decimal"),
        pytest.param(f"{BOMB}names: [*j]", id="bomb"),
        pytest.param("names: " + "[" * 300, id="deep"),
        *(
            f"names: [ear]\nkpt_shape: {shape}"
            for shape in ("5", "[5]", "[5, 4]", "[-5, 3]", "[true, 3]", "'5, 3'", "{}")
        ),
    ],
)
def test_a_description_that_is_no_description_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        describe(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_large_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        describe(tmp_path, "names: [ear]" + " " * (1 << 20))


def scaled(columns: Columns, size: tuple[int, int]) -> np.ndarray:
    return columns.boxes * np.array(size * 2)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    boxes = np.random.default_rng(0).uniform(0, 200, (3, 4))
    boxes[2] = np.nan
    first = Keypoints(("top", "lobe"), np.array([[1.5, 2.25, 2], [0.1 + 0.2, 4, 1]]))
    second = Keypoints(("top", "lobe"), np.array([[0, 0, 2], [7, 7, 0]]))
    written = Columns(["a/耳.x.jpg", "a/耳.x.jpg", "b.jpg"], boxes, keypoints=[first, second, None])
    write_yolo(tmp_path, written, [(641, 479), (641, 479), (30, 20)], scores=[0.5] * 3)
    files = [tmp_path / "data.yaml", tmp_path / "labels/a/耳.x.txt", tmp_path / "labels/b.txt"]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    described = read_data_yaml(files[0])
    assert described == POSE
    refused: list[str] = []
    one, two = (read_yolo(file, described, refused.append) for file in files[1:])
    assert refused == []
    assert (one.paths, two.paths) == (["耳.x"] * 2, ["b"])
    np.testing.assert_allclose(scaled(one, (641, 479)), boxes[:2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(scaled(two, (30, 20)), [[0, 0, 30, 20]], rtol=0, atol=1e-9)
    for row, points in enumerate((first, second)):
        assert points_of(one, row).points[:, 2].tolist() == points.points[:, 2].tolist()
        np.testing.assert_allclose(points_of(one, row).labeled() * (641, 479), points.labeled(), rtol=0, atol=1e-9)
    assert two.keypoints is None


def test_a_description_has_the_fields_of_ultralytics(tmp_path: Path) -> None:
    write_yolo(tmp_path, Columns(["a.jpg"], np.array([[2.0, 4, 4, 8]])), [(16, 32)])
    content = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert content == {"path": ".", "train": "images", "val": "images", "names": {0: "ear"}}
    assert (tmp_path / "labels/a.txt").read_text(encoding="utf-8") == "0 0.25 0.25 0.25 0.25\n"


def test_ears_with_other_points_share_one_layout(tmp_path: Path) -> None:
    ears = [
        Keypoints(("a", "b"), np.array([[1.0, 2, 2], [3, 4, 2]])),
        Keypoints(("b", "c"), np.array([[5.0, 6, 2], [7, 8, 2]])),
    ]
    write_yolo(tmp_path, Columns(["x.jpg", "x.jpg"], np.ones((2, 4)), keypoints=[*ears]), [(10, 10)] * 2)
    columns = read_yolo(tmp_path / "labels/x.txt", read_data_yaml(tmp_path / "data.yaml"), pytest.fail)
    assert points_of(columns, 0).points.tolist() == [[0.1, 0.2, 2], [0.3, 0.4, 2], [0, 0, 0]]
    assert points_of(columns, 1).points.tolist() == [[0, 0, 0], [0.5, 0.6, 2], [0.7, 0.8, 2]]


def test_two_pictures_that_would_share_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'a.jpg' and 'a.png' would share .*a.txt. Rename one"):
        write_yolo(tmp_path, Columns(["a.jpg", "a.png"], np.ones((2, 4))), [(6, 4)] * 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../up/a.jpg", "/up/a.jpg", "../../up/../a.jpg"])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "x/y"
    write_yolo(folder, Columns([name], np.ones((1, 4))), [(6, 4)])
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")] == ["x/y/labels/up/a.txt"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        write_yolo(tmp_path, Columns(["a.jpg"], np.ones((1, 4))), [(6, 4)])
