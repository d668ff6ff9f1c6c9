"""Tests of `earcli/tasks/synth.py`."""

from pathlib import Path

import pytest

from earcli.data.manifest import read_manifest
from earcli.errors import ConfigError, RunError
from earcli.reporting.reporter import SilentReporter
from earcli.tasks.synth import synth


class Listener(SilentReporter):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def progress(self, activity: str, done: int, total: int) -> None:
        self.steps.append((done, total))


def test_the_result_names_the_files_of_both_parts(tmp_path: Path) -> None:
    listener = Listener()
    result = synth(str(tmp_path / "ears"), count=5, seed=3, reporter=listener)
    assert (result.folder, result.count) == (tmp_path / "ears", 5)
    for manifest, landmarks, count in (
        (result.train_manifest, result.train_landmarks, 4),
        (result.val_manifest, result.val_landmarks, 1),
    ):
        read = read_manifest(manifest)
        assert len(read) == count
        assert all(read.locate(row).is_file() for row in range(count))
        assert read_manifest(landmarks).paths == read.paths
    assert listener.steps == [(done, 5) for done in range(1, 6)]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"count": 4}, "`count` must be 5 or more, got 4"), ({"seed": -1}, "`seed` must be 0 or more, got -1")],
)
def test_a_value_out_of_range_leaves_nothing(tmp_path: Path, values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        synth(tmp_path / "ears", **values)
    assert not (tmp_path / "ears").exists()


def test_a_folder_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        synth(tmp_path, count=5)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
