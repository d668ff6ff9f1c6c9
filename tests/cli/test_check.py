"""`ear check` reports planted faults, and nothing else."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from running import ear

from earcli.data.manifest import read_manifest


def snapshot(folder: Path) -> Iterator[tuple[str, bytes, int]]:
    for path in sorted(folder.iterdir()):
        yield path.name, b"" if path.is_dir() else path.read_bytes(), path.stat().st_mtime_ns


def test_check_reports_drops_and_then_finds_nothing_harmful(faulty: Path, tmp_path: Path) -> None:
    before = list(snapshot(faulty))
    result = ear("check", faulty / "train.csv", faulty / "val.csv", "--output", tmp_path / "report", "--drop")
    assert result.exit_code == 1
    assert list(snapshot(faulty)) == before
    assert {p.name for p in (tmp_path / "report").iterdir()} == {"bad_files.csv", "check.json", "cleaned", "worst.png"}
    content = json.loads((tmp_path / "report" / "check.json").read_text())
    with (tmp_path / "report" / "bad_files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["findings"])
    assert content["harmful"] == sum(row["harmful"] == "yes" for row in rows) > 15
    for kind, about in content["kinds"].items():
        assert sum(about["counts"]) == sum(row["kind"] == kind for row in rows)
        assert (kind in result.stdout) == any(about["counts"]) or kind in ("empty", "copy", "missing")
    cleaned = [tmp_path / "report" / "cleaned" / f"{part}.csv" for part in ("train", "val")]
    again = ear("check", *cleaned, "--output", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert "0 of them harmful" in again.stdout
    bad = {(row["manifest"], row["path"]) for row in rows if row["harmful"] == "yes"}
    for part, path in zip(("train", "val"), cleaned, strict=True):
        source, kept = read_manifest(faulty / f"{part}.csv"), read_manifest(path)
        good = [i for i in range(len(source)) if (str(faulty / f"{part}.csv"), source.paths[i]) not in bad]
        assert [kept.locate(i).resolve() for i in range(len(kept))] == [source.locate(i).resolve() for i in good]
        np.testing.assert_array_equal(kept.boxes, source.boxes[good])
        assert kept.checksums == [(source.checksums or [])[i] for i in good]
    result = ear("check", *cleaned, "--output", tmp_path / "report", "--drop")
    assert result.exit_code == 1
    assert "--drop would write" in result.stderr


def test_json_output_is_the_report_and_the_exit_code_stays(faulty: Path, tmp_path: Path) -> None:
    result = ear("check", faulty / "train.csv", "--output", tmp_path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == json.loads((tmp_path / "check.json").read_text())


def test_a_clean_set_passes_and_takes_away_the_sheet_of_an_earlier_check(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "worst.png").write_bytes(b"old")
    result = ear("check", drawn / "train_teacher.npy", drawn / "val_teacher.npy", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == [
        "60 ears, 0 findings, 0 of them harmful",
        f"report {tmp_path}: check.json, bad_files.csv",
    ]
    assert not (tmp_path / "worst.png").exists()


def test_rows_that_cannot_be_read_are_findings(drawn: Path, tmp_path: Path) -> None:
    table = "image_path,x,y,w,h\nimages/ear_00000.jpg,1,2,3\nimages/ear_00001.jpg,,,,\n"
    (tmp_path / "m.csv").write_text(table)
    result = ear("check", tmp_path / "m.csv", "--root-dir", drawn, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "1 ears, 1 findings, 1 of them harmful" in result.stdout
    assert "line 2: 4 cells, but the header has 5" in (tmp_path / "out" / "bad_files.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere.npy"], "nowhere.npy does not exist"),
        (["{drawn}/train_teacher.npy", "--root-dir", "nowhere"], "--root-dir nowhere is not a folder"),
        (["{drawn}/train_teacher.npy", "--output", "{drawn}/factors.csv/x"], "cannot be written"),
        (
            ["{drawn}/train_teacher.npy", "--root-dir", "{here}", "--output", "{here}/o", "--drop"],
            "would leave nothing",
        ),
        (["{drawn}/val_teacher.npy", "{drawn}/../ears/val_teacher.npy", "--output", "{here}/o", "--drop"], "twice"),
    ],
)
def test_an_error_is_one_line(drawn: Path, tmp_path: Path, arguments: list[str], part: str) -> None:
    result = ear("check", *(text.format(drawn=drawn, here=tmp_path) for text in arguments))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr
