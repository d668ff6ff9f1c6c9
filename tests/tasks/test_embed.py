"""Tests of `earcli/tasks/embed.py`."""

import csv
from pathlib import Path

import numpy as np
import pytest
from fitting import Recorder

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.data.embeddings import read_embeddings
from earcli.errors import ConfigError, RunError
from earcli.tasks.embed import embed


def test_the_result_says_what_is_in_the_file_and_what_is_not(
    teacher: Path, people: Path, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Recorder()
    result = embed([people], tmp_path / "e.csv", checkpoint=teacher, batch_size=4, reporter=reporter)
    assert capsys.readouterr() == ("", "")
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = read_embeddings(index)
    values = np.array([[float(row[f"e{number}"]) for number in range(8)] for row in rows])
    np.testing.assert_allclose(values, known.values, atol=1e-5)
    assert [row["path"] for row in rows] == known.paths
    assert (result.count, result.dimensions, result.clusters_folder) == (6, 8, None)
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


def test_a_file_that_cannot_be_written_is_refused_before_pictures_are_read(people: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`output` must end in .npz, .csv or .parquet, got e.txt"):
        embed([people], tmp_path / "e.txt", checkpoint="nowhere.ckpt")
    with pytest.raises(ConfigError, match="`clusters` must be 2 or more, got 1"):
        embed([people], tmp_path / "e.npz", checkpoint="nowhere.ckpt", clusters=1)
    (tmp_path / "e-clusters").mkdir()
    (tmp_path / "e-clusters" / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match=r"holds mine.txt, which ear did not write"):
        embed([people], tmp_path / "e.npz", checkpoint="nowhere.ckpt", clusters=2)
