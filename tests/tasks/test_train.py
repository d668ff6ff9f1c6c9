"""Tests of `earcli/tasks/train.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting import Recorder

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.data.images import read_crop
from earcli.data.manifest import read_manifest, write_columns
from earcli.errors import ConfigError, ManifestError, WeightsError
from earcli.synthetic.dataset import read_factors
from earcli.tasks.resume import resume
from earcli.tasks.train import check_devices, finish, run_teacher, train


class StopRunError(Exception):
    """Ends a run before its first step."""


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"epoch": 3}, "Unknown knob 'epoch'; did you mean epochs"),
        ({"preset": "huge"}, "`preset` must be one of full, small, medium, tiny, got 'huge'"),
        ({"precision": "16-mixed"}, "`precision` 16-mixed needs CUDA"),
        ({"strategy": "bogus"}, "`strategy` must be auto or ddp, got bogus"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_before_pictures_are_read(
    tmp_path: Path, knobs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(train_manifest=tmp_path / "nowhere.npy", run_dir=tmp_path / "runs", **knobs)


def test_missing_weights_come_before_missing_pictures(tmp_path: Path) -> None:
    sets = {"train_manifest": tmp_path / "nowhere.npy", "run_dir": tmp_path / "runs", "preset": "tiny"}
    with pytest.raises(WeightsError, match="is not on this machine"):
        train(weights="imagenet", **sets)
    with pytest.raises(ManifestError, match=r"nowhere\.npy does not exist"):
        train(**sets)
    assert not list(tmp_path.glob("runs/*/version_*"))


def crops(path: Path, limit: int) -> np.ndarray:
    manifest = read_manifest(path).limit(limit, 0)
    return np.stack([read_crop(manifest.locate(row), manifest.boxes[row], 64) for row in range(limit)]) / 255


def test_a_run_is_compared_with_the_mean_training_image(config: TrainConfig) -> None:
    reporter = Recorder()
    config = replace(config, epochs=1, perceptual_weight=0.0, no_cache=True, side="mixed")
    result = run_teacher(config, None, reporter)
    mean = crops(config.train_manifest, 8).mean(axis=0)
    errors = ((crops(config.val_manifest, 4) - mean) ** 2).mean(axis=(1, 2, 3))
    assert result.metrics["baseline_psnr"] == pytest.approx(float((-10 * np.log10(errors)).mean()), rel=1e-5)
    (record,) = reporter.records
    assert result.metrics.keys() - record.keys() == {"baseline_psnr"}
    assert result.metrics["val/psnr"] == record["val/psnr"]
    assert (result.run, result.config) == (config.run_dir / "ear_vae" / "version_0", config)
    assert (result.last, result.best) == (RunFolder(result.run).last, RunFolder(result.run).best()[0].path)
    assert not (config.run_dir / ".cache").exists()
    first, second, _, annealing = reporter.notes
    assert first == "8 training ears, 4 validation ears; precision 32"
    assert second == "the perceptual term is off"
    assert annealing.startswith(
        "KL annealing never began: the validation PSNR of the networks alone stayed below 16 dB"
    )
    assert result.notes == (annealing,)


def test_the_skeleton_comes_from_the_training_crops_and_is_resumed(config: TrainConfig) -> None:
    reporter = Recorder()
    config = replace(config, epochs=1, limit_train=4, skeleton_dim=9, augment="light", side="mixed")
    result = run_teacher(config, None, reporter)
    assert "the skeleton has 7 of 9 components: 4 training ears have no more" in reporter.notes
    skeleton = Checkpoint.open(result.last).teacher().skeleton
    assert skeleton is not None
    pixels = torch.from_numpy(crops(config.train_manifest, 4)).float().permute(0, 3, 1, 2) * 2 - 1
    for images in (pixels, pixels.flip(3)):  # which augmentation shows as well
        torch.testing.assert_close(skeleton.image(skeleton.scores(images)), images, rtol=0, atol=1e-2)
    resumed = resume(result.last, epochs=2)
    again = Checkpoint.open(resumed.last).teacher().skeleton
    assert again is not None
    assert all(torch.equal(a, b) for a, b in zip(skeleton.buffers(), again.buffers(), strict=True))


def test_a_skeleton_of_a_subset_says_so(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earcli.analysis.skeleton.MAX_IMAGES", 5)
    reporter = Recorder()
    run_teacher(replace(config, epochs=1, no_cache=True), None, reporter)
    assert "the skeleton was fitted on a random subset of 5 of 8 training ears" in reporter.notes


def test_only_particular_devices_are_looked_for() -> None:
    check_devices(TrainConfig())
    with pytest.raises(ConfigError, match="`strategy` must be auto or ddp, got bogus"):
        check_devices(TrainConfig(strategy="bogus"))


def test_a_run_without_a_best_checkpoint_gives_its_last(tmp_path: Path) -> None:
    reporter, run = Recorder(), RunFolder(tmp_path)
    result = finish(run, TrainConfig(), {"val/psnr": 20.0}, ["a note"], reporter)
    assert (result.best, result.last) == (run.last, run.last)
    run.checkpoints.mkdir()
    names = [f"ear_vae-epoch=00{epoch}-val_loss={loss}.ckpt" for epoch, loss in ((0, "0.5000"), (1, "0.2500"))]
    for name in names:
        (run.checkpoints / name).touch()
    assert finish(run, TrainConfig(), {}, [], reporter).best == run.checkpoints / names[1]
    assert (result.notes, reporter.notes) == (("a note",), ["a note"])


def test_right_ears_are_mirrored_before_training(config: TrainConfig) -> None:
    reporter = Recorder()
    result = run_teacher(replace(config, epochs=1, limit_train=24, limit_val=6, augment="light"), None, reporter)
    left = read_factors(config.train_manifest.parent, read_manifest(config.train_manifest).paths)["left"]
    noted = next(note for note in reporter.notes if "training ears are right ears" in note)
    assert abs(int(noted.split()[0]) - (left == 0).sum()) <= 1
    teacher = Checkpoint.open(result.last).teacher()
    assert teacher.laterality is not None
    pixels = torch.from_numpy(crops(config.val_manifest, 6)).float().permute(0, 3, 1, 2) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(teacher.encode(pixels.flip(3)), teacher.encode(pixels))
    resumed = resume(result.last, epochs=2)
    again = Checkpoint.open(resumed.last).teacher().laterality
    assert again is not None
    assert torch.equal(again.direction, teacher.laterality.direction)


def test_stated_sides_are_not_estimated(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise StopRunError

    monkeypatch.setattr("earcli.training.loop.train_teacher", stop)

    def notes(**knobs: object) -> list[str]:
        reporter = Recorder()
        with pytest.raises(StopRunError):
            run_teacher(replace(config, **knobs), None, reporter)  # type: ignore[arg-type]
        return [note for note in reporter.notes if "right ears" in note]

    assert notes(side="right")[0] == "8 of 8 training ears are right ears and are mirrored"
    assert notes(side="left")[0] == "0 of 8 training ears are right ears and are mirrored"
    assert notes(side="mixed") == []
    manifest = read_manifest(config.train_manifest)
    columns = replace(manifest, paths=[str(manifest.locate(row)) for row in range(len(manifest))])
    sides = ["right"] * 3 + ["left"] * (len(manifest) - 3)
    write_columns(tmp_path / "sides.csv", replace(columns, sides=sides), [])
    (first, _) = notes(train_manifest=tmp_path / "sides.csv", limit_train=None)
    assert first == "3 of 24 training ears are right ears and are mirrored"


def test_a_side_that_contradicts_the_labels_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    manifest = read_manifest(config.train_manifest)
    columns = replace(manifest, paths=[str(manifest.locate(row)) for row in range(len(manifest))])
    sides = ["right"] * 2 + [""] * (len(manifest) - 2)
    write_columns(tmp_path / "sides.csv", replace(columns, sides=sides), [])
    contradictory = replace(config, side="left", train_manifest=tmp_path / "sides.csv", limit_train=None)
    with pytest.raises(ConfigError, match="`side` is left, but 2 of 24 ears are labeled as the other side"):
        run_teacher(contradictory, None, Recorder())
