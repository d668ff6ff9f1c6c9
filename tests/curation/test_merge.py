"""Tests of `earcli/curation/merge.py`."""

from pathlib import Path

from raw import NO_SUBJECTS, coco, fill

from earcli.curation.merge import merge_samples
from earcli.data.formats.columns import Keypoints
from earcli.data.sources import collect_samples


def test_sources_that_name_different_people_leave_the_picture_out(tmp_path: Path) -> None:
    names = fill(tmp_path, 3)
    for name, who in (("a", "kim"), ("b", "lee")):
        rows = "".join(f"{n},{who if n == '000.png' else 'max'}\n" for n in names)
        (tmp_path / f"{name}_annotations.csv").write_text("image_path,subject\n" + rows)
    kept, left_out = merge_samples(collect_samples([tmp_path], NO_SUBJECTS).samples)
    assert [Path(s.path).name for s in kept] == names[1:]
    assert "different subjects: 'kim', 'lee'" in left_out[0].reason


def test_key_points_of_one_source_and_the_box_of_another_make_one_ear(tmp_path: Path) -> None:
    names = fill(tmp_path, 2)
    (tmp_path / "_annotations.coco.json").write_text(coco(names, [[10, 10, 60, 80]] * 2))
    (tmp_path / "000.pts").write_text("version: 1\nn_points: 2\n{\n16 16\n66 86\n}\n")
    kept, left_out = merge_samples(collect_samples([tmp_path], NO_SUBJECTS).samples)
    assert not left_out
    assert [s.box for s in kept] == [(10, 10, 60, 80)] * 2
    assert isinstance(kept[0].keypoints, Keypoints)
