"""Checkpoints: opened and verified once, also those of older versions; refused if foreign, damaged or hostile."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import assert_same, fit, table, weights

from earcli.checkpoints.checkpoint import FORMAT_VERSION, Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError, DamagedError, EarError
from earcli.models.vae import EarVAE
from earcli.training.callbacks import RunRecorder

KNOBS = {"latent_dim": 4, "image_size": 64, "encoder": "resnet18"}


class Touch:
    """Unpickles into a call."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


def save(path: Path, size: int = 4, **changes: Any) -> Path:
    """Writes the checkpoint of a teacher with a latent space of `size`; `changes` are hyper-parameters."""
    state = {f"model.{name}": value for name, value in EarVAE(size, 64, "resnet18").state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {**KNOBS, **changes}}, path)
    return path


def to_version_1(path: Path) -> None:
    """Rewrites a checkpoint in the layout of the versions before `format_version`."""
    content = torch.load(path, weights_only=True)
    del content["format_version"]
    content["ear"]["first_processes"] = content["ear"]["processes"]
    torch.save(content, path)


def test_a_run_writes_the_current_format_version(run: RunFolder) -> None:
    for path in (run.last, run.previous, run.best()[0].path):
        assert torch.load(path, weights_only=True)["format_version"] == FORMAT_VERSION == 3


def test_a_checkpoint_of_version_1_loads(run: RunFolder) -> None:
    to_version_1(run.last)
    checkpoint = Checkpoint.open(run.last)
    assert "format_version" not in checkpoint.content
    assert checkpoint.kind == "teacher"
    assert checkpoint.teacher().skeleton is not None


def test_a_checkpoint_of_version_2_loads_under_its_names_of_knobs_and_weights(tmp_path: Path) -> None:
    current = Checkpoint.open(save(tmp_path / "current.ckpt", input_stats="none"))
    content = torch.load(current.path, weights_only=True)
    state = {name.replace("encoder.trunk.", "encoder."): value for name, value in content["state_dict"].items()}
    assert state.keys() != content["state_dict"].keys()
    knobs = {"latent_dim": 4, "image_size": 64, "resnet_version": "resnet18", "skeleton_dim": 0, "side": "mixed"}
    torch.save({"format_version": 2, "state_dict": state, "hyper_parameters": knobs}, tmp_path / "old.ckpt")
    old = Checkpoint.open(tmp_path / "old.ckpt")
    assert (old.config.encoder, old.config.input_stats) == ("resnet18", "none")
    assert old.fingerprint == current.fingerprint  # so that an index of its vectors stays valid
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(old.teacher().encode(images), current.teacher().encode(images))


@pytest.mark.slow
def test_a_checkpoint_of_version_1_loads_and_resumes_bit_exactly(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(config, ema_decay=0.9, run_name="whole")
    expected, _ = fit(whole)
    save_last = RunRecorder.save

    def stop_after_first_epoch(self: RunRecorder, trainer: Any) -> Path:
        path = save_last(self, trainer)
        trainer.should_stop = True
        return path

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "save", stop_after_first_epoch)
        run, _ = fit(replace(whole, run_name="old"))
    to_version_1(run.last)
    checkpoint = Checkpoint.open(run.last)
    assert "format_version" not in checkpoint.content
    assert checkpoint.content["ear"]["epochs_done"] == 1
    assert checkpoint.kind == "teacher"
    assert checkpoint.config == replace(whole, run_name="old")
    average = {f"average.{name}": value for name, value in checkpoint.teacher().state_dict().items()}
    assert all(torch.equal(checkpoint.content["state_dict"][name], value) for name, value in average.items())
    fit(replace(whole, run_name="old"), resume=checkpoint)
    assert_same(weights(expected), weights(run))
    assert table(expected) == table(run)
    assert Checkpoint.open(run.last).content["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("version", [4, 0, "2"])
def test_a_checkpoint_of_another_version_is_refused_in_one_line(tmp_path: Path, version: object) -> None:
    path = save(tmp_path / "x.ckpt")
    torch.save({**torch.load(path, weights_only=True), "format_version": version}, path)
    with pytest.raises(CheckpointError) as refused:
        Checkpoint.open(path)
    assert str(refused.value) == (
        f"{path} has format version {version}, and this version of ear reads 1 to 3. Update ear."
    )


def test_a_name_is_looked_up_among_the_runs(run: RunFolder) -> None:
    runs = run.path.parents[1]
    last, best = Checkpoint.open("last.ckpt", run_dir=runs), Checkpoint.open("best", "teacher", run_dir=runs)
    assert (last.path, best.path) == (run.last, run.best()[0].path)
    assert last.run == best.run == run
    assert last.results_folder(None, "evaluation") == run.path / "evaluation"
    assert last.results_folder("elsewhere", "evaluation") == Path("elsewhere")
    with pytest.raises(CheckpointError, match=r"No run in .* has a detector's last.ckpt"):
        Checkpoint.open("last.ckpt", "detector", run_dir=runs)
    with pytest.raises(
        CheckpointError, match=r"nothing.ckpt does not exist. Give a file, a run's folder, or last.ckpt or best"
    ):
        Checkpoint.open("nothing.ckpt", run_dir=runs)


def test_a_checkpoint_outside_a_run_folder_has_no_run(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(save(tmp_path / "x.ckpt"))
    assert checkpoint.run is None
    with pytest.raises(CheckpointError, match=r"lies in no run folder.* Give `output`"):
        checkpoint.results_folder(None, "evaluation")


def test_a_fingerprint_identifies_the_weights(tmp_path: Path) -> None:
    first, second = (Checkpoint.open(save(tmp_path / name)).fingerprint for name in ("a.ckpt", "b.ckpt"))
    assert first != second
    assert first == Checkpoint.open(tmp_path / "a.ckpt").fingerprint


def test_the_kind_is_checked(teacher: Path) -> None:
    with pytest.raises(CheckpointError, match=r"teacher's checkpoint, expected a detector's. .*ear finetune wrote"):
        Checkpoint.open(teacher, "detector")
    with pytest.raises(CheckpointError, match="teacher's checkpoint, expected a detector's"):
        Checkpoint.open(teacher).detector()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": 1}, "it has no state_dict"),
        ([1], "it has no state_dict"),
        ({"state_dict": {}, "hyper_parameters": {}}, "lack latent_dim"),
        ({"state_dict": {"a": 1}, "hyper_parameters": {"latent_dim": 4}}, "state_dict holds more than weights"),
    ],
)
def test_a_foreign_checkpoint_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(tmp_path / "x.ckpt")


def test_a_missing_truncated_or_hostile_checkpoint_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    good = {"state_dict": {}, "hyper_parameters": {"latent_dim": 4}}
    torch.save({**good, "extra": Touch(target)}, tmp_path / "hostile.ckpt")
    torch.save(good, tmp_path / "good.ckpt")
    whole = (tmp_path / "good.ckpt").read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / f"cut{cut}.ckpt").write_bytes(whole[:cut])
        with pytest.raises(DamagedError, match="is damaged or no checkpoint"):
            Checkpoint.open(tmp_path / f"cut{cut}.ckpt")
    assert Checkpoint.open(tmp_path / "good.ckpt").content["hyper_parameters"] == {"latent_dim": 4}
    for path in (tmp_path / "hostile.ckpt", tmp_path / "missing.ckpt", tmp_path):
        with pytest.raises(EarError):
            Checkpoint.open(path)
    assert not target.exists()


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.ckpt", size=5)
    torch.save({**torch.load(path, weights_only=True), "hyper_parameters": KNOBS}, path)
    with pytest.raises(CheckpointError, match=r"mu_head.weight is .*5, 1024.*expected .*4, 1024"):
        EarVAE.load_from_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from_the_future": 1}, "Unknown knob 'from_the_future' in .*x.ckpt.*Another version of ear wrote this"),
        ({"latent_dim": "4"}, "latent_dim must be of type int.*Another version of ear wrote this"),
        ({"latent_dim": 2**40}, "`latent_dim` must be between 1 and 65536"),
        ({"latent_dim": 2**16}, "does not hold the teacher that it describes"),  # without allocating memory
    ],
)
def test_a_checkpoint_that_describes_another_model_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "x.ckpt", **change)
    with pytest.raises(CheckpointError, match=message):
        EarVAE.load_from_checkpoint(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.ckpt")
    content = torch.load(path, weights_only=True)
    content["state_dict"]["model.encoder.mu_head.bias"][1] = torch.nan
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"holds NaN or infinity in encoder.mu_head.bias"):
        EarVAE.load_from_checkpoint(path)


def test_a_flipped_bit_in_a_tensor_is_found(run: RunFolder, tmp_path: Path) -> None:
    content = bytearray(run.last.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        Checkpoint.open(tmp_path / "x.ckpt")
