"""Tests of `earcli/tasks/embed.py`."""

import csv
from pathlib import Path

import numpy as np
import pytest
from fitting import Recorder
from PIL import Image

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.data.embeddings import Embeddings, EncoderInfo, read_embeddings
from earcli.data.manifest import read_manifest
from earcli.errors import ConfigError, RunError
from earcli.reporting.sheets import GAP, LINE, SIDE
from earcli.tasks.embed import _write_sheets, embed


def test_the_result_says_what_is_in_the_file_and_what_is_not(
    teacher: Path, people: Path, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Recorder()
    result = embed([people], tmp_path / "e.csv", checkpoint=teacher, batch_size=4, reporter=reporter)
    assert capsys.readouterr() == ("", "")
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = read_embeddings(index)
    values = np.array([[float(row[f"e{number}"]) for number in range(11)] for row in rows])
    np.testing.assert_allclose(values, known.values, atol=1e-5)
    assert [row["path"] for row in rows] == known.paths
    assert (result.count, result.dimensions, result.clusters_folder) == (6, 11, None)
    assert result.fingerprint == Checkpoint.open(teacher).fingerprint
    ((path, reason),) = result.skipped.items()
    assert Path(path).name == "broken.jpg"
    assert reporter.notes[1] == f"skipped {path}: {reason}"
    assert (tmp_path / "e-skipped.csv").is_file()
    assert result.to_dict()["path"] == str(tmp_path / "e.csv")


def test_each_cluster_gets_a_sheet_and_the_largest_comes_first(teacher: Path, people: Path, tmp_path: Path) -> None:
    result = embed([people], tmp_path / "e.npz", checkpoint=teacher, clusters=3)
    assert result.clusters_folder == tmp_path / "e-clusters"
    assert sorted(path.name for path in result.clusters_folder.iterdir()) == [
        "cluster_00.png",
        "cluster_01.png",
        "cluster_02.png",
    ]
    counts = np.bincount(read_embeddings(tmp_path / "e.npz").clusters).tolist()
    assert sum(counts) == 6
    assert counts == sorted(counts, reverse=True)


def test_a_manifests_boxes_and_subjects_are_kept(ears: Path, teacher: Path, tmp_path: Path) -> None:
    names = read_manifest(ears / "val_teacher.npy").paths[:2]
    rows = ["image_path,x,y,w,h,subject", f"{names[0]},10,20,60,80,Ann", f"{names[1]},,,,,"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    embed([tmp_path / "m.csv"], tmp_path / "e.npz", checkpoint=teacher, root_dir=ears)
    known = read_embeddings(tmp_path / "e.npz")
    assert (known.paths, known.subjects) == ([str(ears / name) for name in names], ["Ann", ""])
    assert known.boxes[0].tolist() == [10, 20, 60, 80]
    assert np.isnan(known.boxes[1]).all()
    embed([tmp_path / "m.csv"], tmp_path / "n.npz", checkpoint=teacher, root_dir=ears, subject="none")
    assert read_embeddings(tmp_path / "n.npz").subjects == ["", ""]


def test_a_sheet_shows_the_pictures_nearest_to_the_center_first(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(13)]
    for number, path in enumerate(paths):
        Image.new("RGB", (20, 20), (20 * number, 0, 0)).save(path)
    info = EncoderInfo("00ff", "best.ckpt", "encoder", "fp32", 64)
    embeddings = Embeddings(np.zeros((13, 2), np.float32), paths, np.full((13, 4), np.nan), [""] * 13, None, info)
    labels, folder = np.array([0] * 10 + [1] * 3), tmp_path / "e-clusters"
    folder.mkdir()
    (folder / "cluster_07.png").write_bytes(b"of an earlier index")
    _write_sheets(embeddings, labels, np.array([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0, 2, 1, 3]), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["cluster_00.png", "cluster_01.png"]
    shown = []
    for name in ("cluster_00.png", "cluster_01.png"):
        with Image.open(folder / name) as sheet:
            for y in range(GAP + 9, sheet.height, SIDE + LINE + GAP):
                pixels = [sheet.getpixel((x, y)) for x in range(GAP + 9, sheet.width, SIDE + GAP)]
                shown.append([red // 20 for red, green, _ in pixels if green == 0])
    assert shown == [[9, 8, 7, 6, 5, 4, 3, 2], [1, 0], [11, 10, 12]]


def test_a_file_that_cannot_be_written_is_refused_before_pictures_are_read(people: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`output` must end in .npz, .csv or .parquet, got e.txt"):
        embed([people], tmp_path / "e.txt", checkpoint="nowhere.ckpt")
    with pytest.raises(ConfigError, match="`clusters` must be 2 or more, got 1"):
        embed([people], tmp_path / "e.npz", checkpoint="nowhere.ckpt", clusters=1)
    (tmp_path / "e-clusters").mkdir()
    (tmp_path / "e-clusters" / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match=r"holds mine.txt, which ear did not write"):
        embed([people], tmp_path / "e.npz", checkpoint="nowhere.ckpt", clusters=2)
