"""Tests of `earcli/tasks/evaluate.py`."""

import json
from pathlib import Path
from typing import Any

import pytest

from earcli.checkpoints.runs import RunFolder
from earcli.errors import ConfigError
from earcli.tasks.evaluate import evaluate


@pytest.mark.parametrize("name", ["limit", "batch_size", "num_workers"])
def test_a_count_of_nothing_is_refused_before_anything_is_read(name: str) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must be 1 or more, got 0"):
        evaluate("nowhere.ckpt", **{name: 0})


def test_parameters_of_the_other_kind_are_refused(detector: Path, teacher: Path, tmp_path: Path) -> None:
    last = RunFolder(detector / "ear_detector" / "version_0").last
    options: dict[str, Any] = {"subject": "folder", "limit": 3, "target_psnr": 0.0, "normalize": "crop"}
    with pytest.raises(ConfigError, match=r"^`subject`, `limit`, `target_psnr` cannot be used: .* is a detector\.$"):
        evaluate(last, output=tmp_path / "out", **options)
    with pytest.raises(ConfigError, match=r"^`normalize` cannot be used: .* is a teacher\.$"):
        evaluate(teacher, output=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_verdicts_are_those_of_the_given_targets(ears: Path, teacher: Path, tmp_path: Path) -> None:
    evaluation = evaluate(
        teacher,
        manifest=ears / "val_teacher.npy",
        output=tmp_path / "out",
        target_psnr=0.0,
        target_ssim=1.5,
        target_active=0.0,
        target_code_gain=-100.0,
        target_cosine=-1.0,
    )
    verdicts = {"psnr": True, "ssim": False, "active_units": True, "code_gain_db": True, "mean_abs_cosine": False}
    assert evaluation.kind == "teacher"
    assert evaluation.metrics["met"] == {**verdicts, "deterministic": True}
    targets = {row.key: row.target for row in evaluation.rows if row.key in verdicts}
    assert list(targets.values()) == ["≥ 0", "≥ 1.5", "≥ 0%", "≥ -100", "≤ -1"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == evaluation.to_dict()


def test_a_detectors_errors_are_fractions_of_the_given_length(detector: Path, tmp_path: Path) -> None:
    last = RunFolder(detector / "ear_detector" / "version_0").last
    box, crop = (
        evaluate(last, output=tmp_path / name, normalize=given, num_workers=1)
        for name, given in (("a", None), ("b", "crop"))
    )
    assert (box.kind, crop.kind) == ("detector", "detector")
    assert box.metrics["points"] == "17; NME in fractions of the diagonal of the labeled box"
    assert crop.metrics["points"] == "17; NME in fractions of the side of what the detector sees"
    assert box.metrics["nme"] != crop.metrics["nme"]
    assert box.metrics["iou"] == crop.metrics["iou"]
